"""Records, holds and jobs for tests of single scripts, which write and read them while the clock stands still."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from config.keys import Keys
from delivery import Ledger, Task, pausing
from delivery.claim import Claim
from delivery.settlement import Changes, Done, EndedUnknown, Failed, Settled, Signal
from delivery.task import short_digest
from tests.harness.still_clock import MICROS, NOW, StillClock, named
from tests.harness.sync_ledger import LONG_POLICY

KEYS = Keys()
DAY_MS = 86_400_000
COVER_MS = round(LONG_POLICY.cover * 1000)
AFTER_MS = round(LONG_POLICY.read_back_after * 1000)
#: How long an unsettled record is kept: 90 days, and the deadline of an hour that the jobs of these tests have.
LIFE_MS = 90 * DAY_MS + 3_600_000
NOW_US = NOW * 1000 + MICROS
MINUTE = f"{KEYS.minutes}:{NOW // 60_000}"
Make = Callable[..., Task]
Ask = Callable[..., Claim]
Tell = Callable[..., Changes]

#: An event, and its entry on the stream.
EVENT = ("told", '{"x":1}')
ON_STREAM = {"type": "told", "event": '{"x":1}'}
DONE = Done(events=[EVENT], outcome="{}")
FAILED = Failed(events=[EVENT], reason="why", kind="rejected")
UNKNOWN = EndedUnknown(events=[EVENT], reason="why", kind="unknown")
#: What settling returns.
OURS = Settled(ours=True, used=False)
STALE = Settled(ours=False, used=False)
USED = Settled(ours=False, used=True)

REFUSED = Signal(
    word="refused",
    call="add_contact",
    about="this one",
    channel="sms",
    scope="account",
    code="101",
    text="no such client",
    worker="here:1",
)
BARE = replace(REFUSED, code="", bare=True)
OUTAGE = replace(REFUSED, word="outage", code="503", text="away", took=1000)
WELL = Signal(word="well", call="add_contact", about="this one", channel="sms", worker="here:1")


def record(still: StillClock, ledger: Ledger, task: Task) -> dict[str, str]:
    return named(still.all().get(ledger.record(task), {}))


def put_record(still: StillClock, ledger: Ledger, task: Task, **fields: Any) -> None:
    """Write a record of this job; ``fields`` (by their short names) replace or add some."""
    told = {"fp": task.fingerprint, "id": task.receipt.id, "b": "bodies", "n": 1, **fields}
    still.redis.hset(ledger.record(task), mapping=told)


def unknown(still: StillClock, ledger: Ledger, task: Task, **fields: Any) -> None:
    """Write the record of a job whose call was lost a while ago, and that may be read back now."""
    put_record(
        still, ledger, task, **{"s": "unknown", "en": NOW - 5000, "rb": NOW, "cl": NOW - 9000, **fields}
    )


def lock(task: Task) -> str:
    return KEYS.name_lock("sms", short_digest(task.job.taken_name()))


def holds(still: StillClock) -> dict[str, Any]:
    return {name: json.loads(text) for name, text in still.all().get(KEYS.holds, {}).items()}


def events(still: StillClock) -> list[Any]:
    told = still.all().get(KEYS.events, [])
    for each in told:
        assert json.loads(each["event"])["type"] == each["type"]
    return [json.loads(each["event"]) for each in told]


def pause(still: StillClock, word: str = "pause", scope: str = "sms") -> Any:
    script, keys, arguments = pausing(KEYS, 1000, word=word, scope=scope, reason="rest")
    return still.ask(script, keys, arguments)


def put_worker(still: StillClock, name: str, secret: str, seen: int = NOW) -> None:
    still.redis.hset(KEYS.workers, name, json.dumps({"secret": secret, "silence_ms": 1000}))
    still.redis.zadd(KEYS.heartbeats, {name: seen})
