"""The real ledger, and jobs to claim and settle with it, for tests of single scripts."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from actors import JOBS
from config.keys import Keys
from delivery import Ledger, Receipt, Task
from tests.coupontools.conftest import connect, wire
from tests.harness import House
from tests.harness.sync_ledger import LONG_POLICY, SyncRunner, now_ms

__all__ = ["connect", "ledger", "task", "wire"]


@pytest.fixture
def ledger(house: House) -> Ledger:
    return Ledger(SyncRunner(house.redis), Keys(), replace(LONG_POLICY, read_back_after=0.0, rate=10))


@pytest.fixture
def task(house: House) -> Callable[..., Task]:
    """Makes a job that one worker has outstanding; ``name`` is its message and, unless it is given another, its idempotency key."""

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
        house.redis.sadd("acks", name)
        house.redis.hset("bodies", name, "{}")
        job = JOBS[actor]
        return Task(
            job=job.parse({**arguments[actor], "idempotency_key": name, **given}),
            receipt=Receipt(
                name, "acks", "bodies", "delayed", "dead", "dead.b", "dead.r", release=lambda: None
            ),
            message_id=name,
            since=since or now_ms(),
            queue=job.queue,
            patience=patience,
        )

    return make
