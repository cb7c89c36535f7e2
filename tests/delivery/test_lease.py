"""Until exactly when bytes may leave for a claimed job, and how its lease is renewed while it reads a listing."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from delivery import Ledger
from delivery.claim import Claim
from delivery.lease import Lease, LeaseLost, OutOfTime
from tests.harness.attempts import POLICY
from tests.harness.records import KEYS, Make, put_record
from tests.harness.still_clock import NOW, StillClock

#: The time of this machine's clock when a test begins.
HERE = 1000.0
#: A call takes at most thirty seconds, a lease lasts forty.
SHORT = dataclasses.replace(POLICY, timeout=30.0, cover=40.0, rate=10)


class Here:
    """This machine's clock, which a test moves."""

    def __init__(self) -> None:
        self.now = HERE


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    clock = Here()
    monkeypatch.setattr("delivery.lease.now", lambda: clock.now)
    return clock


@pytest.fixture
def lease(still: StillClock, still_task: Make) -> Callable[..., Lease]:
    """Makes the lease of a claim that was asked for at HERE."""

    def make(token: str = "t1", rate: float = 10, **claim: Any) -> Lease:
        policy = dataclasses.replace(SHORT, rate=rate)
        task = still_task("job")
        ledger = Ledger(still, KEYS, policy)
        put_record(still, ledger, task, s="running", t="t1", le=NOW + 40_000)
        return Lease(ledger, policy, task, token, claimed_at=HERE, claim=Claim("call", **claim))

    return make


@pytest.mark.parametrize(("after", "sent"), [(0.0, True), (10.0, True), (10.001, False), (60.0, False)])
def test_bytes_leave_while_the_lease_outlasts_the_call(
    here: Here, lease: Callable[..., Lease], after: float, *, sent: bool
) -> None:
    its = lease(lease=40_000)
    here.now += after
    if not sent:
        with pytest.raises(LeaseLost):
            its.guard()
    else:
        its.guard()
    assert its.departed is sent


@pytest.mark.parametrize(
    ("rate", "after", "missed"),
    [(10, 0.0, False), (10, 0.35, False), (10, 0.351, True), (10, 60.0, True), (0, 60.0, False)],
)
def test_a_slot_may_be_used_a_tenth_of_a_second_late(
    here: Here, lease: Callable[..., Lease], rate: float, after: float, *, missed: bool
) -> None:
    """Without a pace there is no slot to miss."""
    its = lease(rate=rate, wait=250, lease=40_000)
    here.now += after
    assert its.slot_missed is missed


async def test_a_renewed_lease_lasts_from_when_it_was_asked_for(
    still: StillClock, here: Here, lease: Callable[..., Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the renewal may come late."""
    its = lease(lease=40_000)
    here.now += 35.0
    run = still.run

    async def late(*given: Any) -> Any:
        answer = await run(*given)
        here.now += 10.0
        return answer

    monkeypatch.setattr(still, "run", late)
    await its.renew()
    its.guard()
    here.now += 0.001
    with pytest.raises(LeaseLost):
        its.guard()


async def test_a_lease_that_another_has_is_not_renewed(here: Here, lease: Callable[..., Lease]) -> None:
    with pytest.raises(LeaseLost):
        await lease("another's", lease=40_000).renew()


@pytest.mark.parametrize(
    ("left", "limit"),
    [(3600.0, 3600.0), (40.5, 40.5), (39.5, 40.0), (-5.0, 40.0)],
)
async def test_a_listing_may_go_on_until_the_deadline_and_at_least_as_long_as_a_call(
    here: Here, lease: Callable[..., Lease], monkeypatch: pytest.MonkeyPatch, left: float, limit: float
) -> None:
    monkeypatch.setattr("delivery.lease.time.time", lambda: NOW / 1000)
    limits: list[float] = []
    timeout = asyncio.timeout

    def noted(seconds: float) -> asyncio.Timeout:
        limits.append(seconds)
        return timeout(seconds)

    monkeypatch.setattr(asyncio, "timeout", noted)
    async with lease(deadline=round(NOW + left * 1000)).kept():
        pass
    assert limits == [pytest.approx(limit, abs=0.001)]


async def test_a_lease_is_renewed_three_times_while_it_lasts(
    still: StillClock, here: Here, lease: Callable[..., Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two slow renewals in a row must not lose the lease."""
    slept: list[float] = []
    pause = asyncio.sleep
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            enough.set()
            await pause(3600)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    still.now += 1000
    its = lease(deadline=NOW + 3_600_000)
    async with its.kept():
        await enough.wait()
    assert slept == [pytest.approx(40 / 3)] * 3
    assert still.redis.hget(its._ledger.record(its._task), "le") == str(NOW + 41_000).encode()


async def test_a_time_out_of_the_listing_itself_is_no_end_of_the_lease(
    here: Here, lease: Callable[..., Lease]
) -> None:
    with pytest.raises(TimeoutError):
        async with lease(deadline=NOW * 2).kept():
            raise TimeoutError


async def test_what_is_under_way_ends_when_the_deadline_has_passed(
    here: Here, lease: Callable[..., Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    timeout = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", lambda _: timeout(0))
    with pytest.raises(OutOfTime):
        async with lease().kept():
            await asyncio.Event().wait()
