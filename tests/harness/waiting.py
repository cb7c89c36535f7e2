"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

#: Deadlines are named for an idle machine; a busy one takes several times as long, and only a test that fails waits for them to pass.
PATIENCE = 4.0


def wait_for(
    condition: Callable[[], T],
    *,
    seconds: float = 30.0,
    what: str = "the condition",
    show: Callable[[], Any] = lambda: "",
) -> T:
    """The first truthy answer of ``condition``; asked again every few milliseconds."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(
                f"{what} did not come about in {seconds * PATIENCE:g} s; last: {answer!r} {show()}"
            )
        time.sleep(0.02)
