"""The real ledger, and jobs to claim and settle with it, for tests of single scripts."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import redis

from actors import JOBS
from config.keys import Keys
from delivery import Gate, Ledger, LogLine, Receipt, Task
from delivery.claim import Claim
from delivery.means import Means
from delivery.settlement import Changes, NoSettlement, Signal
from tests.coupontools.conftest import connect, wire
from tests.harness import House
from tests.harness.attempts import ADDED, POLICY, Lines, Scripted
from tests.harness.records import KEYS, Make
from tests.harness.still_clock import NOW, StillClock
from tests.harness.sync_ledger import LONG_POLICY, SyncRunner, finish, now_ms

__all__ = [
    "claim",
    "claimed",
    "connect",
    "job",
    "ledger",
    "lines",
    "means",
    "still_ledger",
    "still_task",
    "task",
    "tell",
    "wire",
]


@pytest.fixture
def ledger(house: House) -> Ledger:
    return Ledger(SyncRunner(house.redis), Keys(), replace(LONG_POLICY, read_back_after=0.0, rate=10))


@pytest.fixture
def task(house: House) -> Callable[..., Task]:
    """Makes a job that a worker has outstanding; ``name`` is its message id and, unless another is given, its idempotency key."""
    return task_maker(house.redis)


@pytest.fixture
def still_ledger(still: StillClock) -> Ledger:
    """A ledger whose scripts read a clock that stands still."""
    return Ledger(still, Keys(), replace(LONG_POLICY, rate=10, secret="mine"))


@pytest.fixture
def still_task(still: StillClock) -> Callable[..., Task]:
    """Makes jobs that were enqueued a minute ago by that clock."""
    return partial(task_maker(still.redis), since=NOW - 60_000)


def task_maker(client: redis.Redis) -> Callable[..., Task]:
    """Return a function that makes a job."""

    def make(
        name: str, actor: str = "add_contact", *, since: int = 0, patience: float = 3600.0, **given: Any
    ) -> Task:
        arguments: dict[str, dict[str, Any]] = {
            "add_contact": {
                "channel": "sms",
                "group_id": "gro_1",
                "phone": f"+32470{zlib.crc32(name.encode()) % 10**6:06d}",
            },
            "create_group": {"channel": "sms", "name": "Pizza"},
            "list_contacts": {"channel": "sms", "group_id": "gro_1"},
            "verify_webhook": {},
        }
        client.sadd("acks", name)
        client.hset("bodies", name, "{}")
        job = JOBS[actor]
        since = since or now_ms()
        return Task(
            job=job.parse({**arguments[actor], "idempotency_key": name, **given}),
            receipt=Receipt(
                name,
                "acks",
                "bodies",
                "delayed",
                "dead",
                "dead.b",
                "dead.r",
                release=lambda: None,
                sent=since,
            ),
            message_id=name,
            since=since,
            queue=job.queue,
            patience=patience,
        )

    return make


@pytest.fixture
def claim(still: StillClock, still_ledger: Ledger) -> Callable[..., Claim]:
    """Claims a job while no slot of the pace is taken."""

    def claim_it(task: Task, token: str = "t1", **given: Any) -> Claim:
        still.redis.delete(KEYS.pace)
        return finish(still_ledger.claim(task, token, **given))

    return claim_it


@pytest.fixture
def claimed(still: StillClock, still_ledger: Ledger, still_task: Make) -> Make:
    """Makes a job that is claimed with the token t1, and removes the pace, so that a test sees only what a settlement changes."""

    def make(*arguments: Any, **given: Any) -> Task:
        job = still_task(*arguments, **given)
        assert finish(still_ledger.claim(job, "t1")).verb == "call"
        still.redis.delete(KEYS.pace)
        return job

    return make


@pytest.fixture
def tell(still_ledger: Ledger, still_task: Callable[..., Task]) -> Callable[..., Changes]:
    """Settles with a signal; returns which holds began and ended."""
    job = still_task("job")

    def tell_it(signal: Signal, token: str = "t1") -> Changes:
        settled = finish(still_ledger.settle(job, token, NoSettlement(), signal))
        assert settled.ours
        return settled.changes

    return tell_it


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
async def means(still: StillClock, lines: Lines) -> Means:
    api: Any = None
    # Attempts measure their leases by the machine's clock, Redis by the one that stands still.
    return Means(Ledger(still, KEYS, POLICY), api, Gate(4), POLICY, LogLine([lines]))


@pytest.fixture
def job(still_task: Make) -> Callable[..., Task]:
    """Makes a job whose call ends as the test says."""

    def make(result: Any = ADDED, *, sends: bool = True, name: str = "job", **given: Any) -> Task:
        made = still_task(name, **given)
        kind = type("Made", (Scripted,), {"result": result, "sends": sends})
        made.job = kind.model_validate(made.job.model_dump())
        return made

    return make
