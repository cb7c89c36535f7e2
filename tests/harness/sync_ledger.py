"""The real ledger for tests without an event loop: its scripts run at once, and no lease or rest ends by itself."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import redis

from delivery import Policy, Script
from delivery.retry import Backoff
from workers.redis_link import ThreadRunner

T = TypeVar("T")
#: Times so long that nothing ends by itself; the test itself ends leases and rests.
LONG_POLICY = Policy(
    timeout=3000,
    cover=3600,
    deadline=86400,
    read_back_after=1800,
    ttl=86400,
    rate=0,
    backoff=Backoff(1, 600),
    events_maxlen=100_000,
)


def now_ms() -> int:
    """Return the milliseconds of the clock that the scripts read: Redis runs on this machine."""
    return round(time.time() * 1000)


def finish(steps: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, and return its result."""
    try:
        steps.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    raise AssertionError("it waited")


class SyncRunner:
    """A ScriptRunner that blocks."""

    def __init__(self, client: redis.Redis) -> None:
        self._threads = ThreadRunner(client)

    async def run(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        return self._threads.run(script, keys, args)

    async def command(self, *args: Any) -> Any:
        return self._threads.client.execute_command(*args)
