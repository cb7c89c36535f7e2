"""One attempt at a job: its slot, its lease, a fault of ours during the call, and what a refusal shows about the account."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from actors.add_contact import AddContact
from config.keys import Keys
from coupontools import Call, Coupontools, Rejected
from delivery import Delivery, Gate, Ledger, LogLine, Outcome, Receipt, Task
from delivery.account import it_works
from delivery.answer import refusal
from delivery.attempt import Attempt
from delivery.claim import Claim
from delivery.lease import Lease, LeaseLost, OutOfTime
from delivery.means import Means
from delivery.task import now
from tests.harness import House
from tests.harness.holds import put_hold
from tests.harness.sync_ledger import LONG_POLICY, SyncRunner

KEYS = Keys()
REJECTED = Rejected("Group not found", code=514, status=200)


@pytest.fixture
def ledger(house: House) -> Ledger:
    return Ledger(SyncRunner(house.redis), KEYS, LONG_POLICY)


@pytest.fixture
def gate() -> Gate:
    return Gate(1)


@pytest.fixture
async def api(house: House) -> AsyncIterator[Coupontools]:
    config = house.sandbox.config
    async with Coupontools(
        base_url=house.sandbox.url, client_id=config.client_id, client_secret=str(config.client_secret)
    ) as client:
        yield client


@pytest.fixture
def task(house: House) -> Task:
    """A contact to add; its message is outstanding."""
    house.redis.sadd("acks", "job")
    house.redis.hset("bodies", "job", "{}")
    arguments = {"channel": "sms", "group_id": house.new_group(), "phone": "+32470123456"}
    return Task(
        job=AddContact.model_validate(arguments),
        receipt=Receipt("job", "acks", "bodies", "delayed", "dead", "dead.b", "dead.r", release=lambda: None),
        message_id="job",
        since=round(time.time() * 1000),
        queue="contacts",
        patience=3600.0,
    )


@pytest.fixture
def outage(house: House) -> Callable[[], Any]:
    """Begins a hold of which the next claim is the probe."""
    return lambda: put_hold(house.redis, KEYS, "account/outage")


class OtherSlots(Ledger):
    """A ledger whose slots are ``wait_ms`` away; after each claim it calls ``meanwhile``."""

    meanwhile: Callable[[], None]
    wait_ms = 1.0

    async def claim(self, task: Task, token: str, **told: Any) -> Claim:
        claim = await super().claim(task, token, **told)
        asyncio.get_running_loop().call_soon(self.meanwhile)
        return replace(claim, wait=self.wait_ms)


class Faulty(AddContact):
    """Adds the contact, and then raises a fault of ours."""

    async def call(self, api: Coupontools, call: Call) -> Outcome:
        await super().call(api, call)
        raise KeyError("a fault of ours")


async def test_a_job_does_not_call_when_a_hold_began_while_it_slept_until_its_slot(
    house: House, api: Coupontools, gate: Gate, task: Task
) -> None:
    def hold_begins() -> None:
        gate.hold("account/refused", task.holds)
        # Stop the worker as well, or the job would come back after the hold.
        gate.drain()

    ledger = OtherSlots(SyncRunner(house.redis), KEYS, LONG_POLICY)
    ledger.meanwhile = hold_begins
    await Delivery(ledger, api, gate, LONG_POLICY, LogLine()).deliver(task)
    assert house.sandbox.requests() == []
    # No attempt was spent, and the message is still this worker's.
    assert house.redis.hmget(ledger.record(task), "s", "n") == [b"waiting", b"0"]
    assert house.redis.sismember("acks", "job")


async def test_a_job_does_not_call_when_its_slot_has_passed(
    house: House, api: Coupontools, gate: Gate, task: Task
) -> None:
    """Otherwise a process that stood still would make all its reserved calls at once, on top of those that others have reserved since."""
    paced = replace(LONG_POLICY, rate=10)
    ledger = OtherSlots(SyncRunner(house.redis), KEYS, paced)
    ledger.wait_ms, ledger.meanwhile = -1000.0, gate.drain
    await Delivery(ledger, api, gate, paced, LogLine()).deliver(task)
    assert house.sandbox.requests() == []
    assert house.redis.hmget(ledger.record(task), "s", "n") == [b"waiting", b"0"]
    assert house.redis.sismember("acks", "job")


async def test_a_fault_of_ours_after_bytes_had_left_is_read_back(
    house: House, api: Coupontools, ledger: Ledger, gate: Gate, task: Task
) -> None:
    """Otherwise the job would be answered as failed, and its retry would add the contact twice."""
    task.job = Faulty.model_validate(task.job.model_dump())
    await Delivery(ledger, api, gate, LONG_POLICY, LogLine()).deliver(task)
    assert house.counts()["contacts"] == 1
    assert house.redis.hget(ledger.record(task), "s") == b"unknown"
    assert house.redis.zscore("delayed", "job")
    assert house.events() == []


def test_nothing_is_sent_under_a_lease_that_ends_before_the_call_must(ledger: Ledger, task: Task) -> None:
    seconds = LONG_POLICY.timeout / 2
    claim = Claim("call", lease=seconds * 1000)
    lease = Lease(ledger, LONG_POLICY, task, "t1", claimed_at=now(), claim=claim)
    with pytest.raises(LeaseLost):
        lease.guard()
    assert not lease.departed


async def test_a_lease_is_renewed_while_a_listing_goes_on(
    house: House, ledger: Ledger, task: Task, wire: Any
) -> None:
    """Otherwise the worker would send nothing more, although its lease in Redis goes on."""
    await ledger.claim(task, "t1")
    house.redis.hset(ledger.record(task), "le", 0)
    # The worker renews early; a renewed lease lasts as long as the ledger's policy says.
    soon = replace(LONG_POLICY, cover=0.03)
    lease = Lease(ledger, soon, task, "t1", claimed_at=now(), claim=Claim("call", deadline=task.deadline))
    async with lease.kept():
        await wire.until(lambda: house.redis.hget(ledger.record(task), "le") != b"0")
        lease.guard()
    assert lease.departed


async def test_a_listing_has_the_time_that_a_hold_gave_back(ledger: Ledger, task: Task) -> None:
    """The job's own deadline passed during a hold, but the deadline in force, which the claim returned, has not."""
    await ledger.claim(task, "t1")
    soon, late = replace(LONG_POLICY, cover=0.03), replace(task, since=1)

    def lease(deadline: float) -> Lease:
        claim = Claim("call", deadline=round(deadline * 1000))
        return Lease(ledger, soon, late, "t1", claimed_at=now(), claim=claim)

    async with lease(time.time() + 3600).kept():
        await asyncio.sleep(0.1)
    with pytest.raises(OutOfTime):
        async with lease(1).kept():
            await asyncio.sleep(60)


async def test_a_listing_whose_lease_another_has_is_given_up_at_once(ledger: Ledger, task: Task) -> None:
    soon = replace(LONG_POLICY, cover=0.03)
    claim = Claim("call", deadline=round(time.time() * 1000) + 3_600_000)
    lease = Lease(ledger, soon, task, "nobody's", claimed_at=now(), claim=claim)
    async with asyncio.timeout(60):
        with pytest.raises(LeaseLost):
            async with lease.kept():
                await asyncio.sleep(3600)


@pytest.fixture
def attempt(api: Coupontools, ledger: Ledger, gate: Gate, task: Task) -> Attempt:
    return Attempt(Means(ledger, api, gate, LONG_POLICY, LogLine()), task)


async def test_a_probe_that_the_api_rejects_ends_the_hold(
    house: House, ledger: Ledger, task: Task, attempt: Attempt, outage: Callable[[], Any]
) -> None:
    outage()
    attempt.claim = await ledger.claim(task, attempt.token)
    assert attempt.claim.probe
    await attempt.fail(refusal(REJECTED), it_works(task))
    assert not house.redis.exists(KEYS.holds)
    assert house.tally() == {"account.released": 1, "contact.failed": 1}


async def test_a_rejected_call_that_began_before_an_outage_ends_it(
    house: House, ledger: Ledger, task: Task, attempt: Attempt, outage: Callable[[], Any]
) -> None:
    attempt.claim = await ledger.claim(task, attempt.token)
    outage()
    gate = attempt.means.gate
    gate.hold("account/outage", task.holds)
    await attempt.fail(refusal(REJECTED), it_works(task))
    assert not house.redis.exists(KEYS.holds)
    assert gate.holds_up(task.holds) is None
