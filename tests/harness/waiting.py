"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T],
    *,
    seconds: float = 30.0,
    what: str = "the condition",
    show: Callable[[], Any] = lambda: "",
) -> T:
    """The first truthy answer of ``condition``; asked again every few milliseconds."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about in {seconds:g} s; last: {answer!r} {show()}")
        time.sleep(0.02)
