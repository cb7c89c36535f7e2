"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

#: Deadlines are named for an idle machine; a busy one takes several times as long, and only a test that fails waits for them to pass.
PATIENCE = 4.0
#: How long to wait before a condition is asked again, at least and at most, in seconds.
SHORTEST_PAUSE = 0.02
LONGEST_PAUSE = 0.5


def wait_for(
    condition: Callable[[], T],
    *,
    seconds: float = 30.0,
    what: str = "the condition",
    show: Callable[[], Any] = lambda: "",
) -> T:
    """The first truthy answer of ``condition``; asked again every few milliseconds.

    A condition that takes long is asked less often, so that whoever waits leaves the processor to what is waited for: to read a thousand
    events fifty times a second keeps a core busy.
    """
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        asked_at = time.monotonic()
        answer = condition()
        if answer:
            return answer
        answered_at = time.monotonic()
        if answered_at > deadline:
            raise AssertionError(
                f"{what} did not come about in {seconds * PATIENCE:g} s; last: {answer!r} {show()}"
            )
        time.sleep(min(LONGEST_PAUSE, max(SHORTEST_PAUSE, 4 * (answered_at - asked_at))))
