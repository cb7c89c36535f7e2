"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

#: Tests name deadlines for an idle machine; a busy one takes several times as long, and only a test that fails waits for a deadline.
PATIENCE = 4.0
#: The shortest and the longest pause before a condition is checked again, in seconds.
SHORTEST_PAUSE = 0.02
LONGEST_PAUSE = 0.5


def wait_for(
    condition: Callable[[], T],
    *,
    seconds: float = 30.0,
    what: str = "the condition",
    show: Callable[[], Any] = lambda: "",
) -> T:
    """Check ``condition`` every few milliseconds, and return its first truthy result.

    A condition that takes long is checked less often, so that waiting leaves the processor to the processes under test: reading a thousand
    events fifty times a second would keep a core busy.
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
