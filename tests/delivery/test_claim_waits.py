"""When claim.lua has a job wait for another one, for a name, or for the pace."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from delivery import Ledger
from delivery.claim import Claim
from tests.harness.records import (
    COVER_MS,
    KEYS,
    LIFE_MS,
    Ask,
    Make,
    lock,
    put_record,
    record,
    unknown,
)
from tests.harness.still_clock import NOW, StillClock
from tests.harness.sync_ledger import LONG_POLICY, finish


@pytest.mark.parametrize(
    ("waited", "patience", "pause"),
    [
        (0, 3600, 300),
        (1200, 3600, 300),
        (2000, 3600, 500),
        (120_000, 3600, 30_000),
        (500_000, 3600, 30_000),
        (59_900, 60, 100),
    ],
)
def test_who_waits_for_another_asks_the_more_seldom_the_longer_it_has_waited(
    still: StillClock,
    still_ledger: Ledger,
    still_task: Make,
    claim: Ask,
    waited: int,
    patience: float,
    pause: int,
) -> None:
    still_task("first")
    job = still_task("job", idempotency_key=None, since=NOW - waited, patience=patience)
    put_record(still, still_ledger, job, s="waiting", fp="another", id="first")
    assert claim(job) == Claim("deferred", job.deadline, reason="busy", wait=pause)


def test_who_has_waited_for_another_in_vain_is_told_so(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    still_task("first")
    job = still_task("job", idempotency_key=None, since=NOW - 60_000, patience=60)
    put_record(still, still_ledger, job, s="waiting", fp="another", id="first", n=3, rc=1, w="why")
    assert claim(job) == Claim("expired", job.deadline, owned=False)
    later = dataclasses.replace(job, patience=60.001)
    still.redis.sadd("acks", "job")
    assert claim(later).verb == "deferred"


@pytest.mark.parametrize("its", [True, False])
def test_what_was_looked_up_for_whoever_gives_up_says_nothing_to_the_first(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask, *, its: bool
) -> None:
    job = still_task("job", idempotency_key=None, since=NOW - 60_000, patience=60)
    unknown(still, still_ledger, job, fp="another", v="absent", ev="{}", id="job" if its else "first")
    still.redis.zadd(KEYS.unknown(job.listing), {still_ledger.record(job): 1})
    assert claim(job).verb == "expired"
    assert ("verdict" in record(still, still_ledger, job)) is not its
    assert ("evidence" in record(still, still_ledger, job)) is not its
    assert (KEYS.unknown(job.listing) in still.all()) is not its


def test_a_record_whose_message_is_gone_is_taken_over_from_its_first_attempt_on(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job", idempotency_key=None)
    put_record(still, still_ledger, job, s="waiting", fp="another", id="gone", n=3, rc=1)
    assert claim(job) == Claim("call", job.deadline, attempts=1, lease=COVER_MS)
    assert record(still, still_ledger, job)["fingerprint"] == job.fingerprint


@pytest.mark.parametrize(
    ("holder", "there", "waits"),
    [
        ({"s": "running", "le": NOW + 1}, False, True),
        ({"s": "running", "le": NOW}, False, False),
        ({"s": "running", "le": NOW}, True, True),
        ({"s": "unknown"}, True, True),
        ({"s": "unknown"}, False, False),
        ({"s": "waiting", "le": NOW + 1}, True, False),
        ({}, True, False),
    ],
)
def test_a_name_is_taken_while_its_holder_may_still_create_the_group(
    still: StillClock,
    still_ledger: Ledger,
    still_task: Make,
    claim: Ask,
    holder: dict[str, Any],
    *,
    there: bool,
    waits: bool,
) -> None:
    first, job = still_task("first", "create_group"), still_task("job", "create_group")
    if holder:
        put_record(still, still_ledger, first, **holder)
    if not there:
        still.redis.hdel("bodies", "first")
    put_record(still, still_ledger, job, s="waiting", bl='["gro_1"]', n=1)
    still.redis.set(lock(job), still_ledger.record(first))
    answer = claim(job)
    if waits:
        assert (answer.verb, answer.reason) == ("deferred", "busy")
        assert record(still, still_ledger, job)["baseline"] == '["gro_1"]'
        return
    # Another job has had the name since, so the old baseline does not count any more.
    assert answer == Claim("call", job.deadline, attempts=2, lease=COVER_MS)
    assert "baseline" not in record(still, still_ledger, job)
    assert still.all()[lock(job)] == still_ledger.record(job)
    assert still.lives(lock(job), LIFE_MS)


def test_who_holds_a_name_keeps_its_baseline(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job", "create_group")
    put_record(still, still_ledger, job, s="waiting", bl='["gro_1"]')
    still.redis.set(lock(job), still_ledger.record(job))
    assert claim(job).baseline == ("gro_1",)


def test_a_lost_call_keeps_its_baseline_and_takes_the_name_again(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job", "create_group")
    unknown(still, still_ledger, job, bl='["gro_1"]')
    assert claim(job).verb == "read_back"
    assert record(still, still_ledger, job)["baseline"] == '["gro_1"]'
    assert still.all()[lock(job)] == still_ledger.record(job)
    assert still.lives(lock(job), LIFE_MS)


def test_a_job_whose_time_is_over_does_not_wait_for_a_name(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    first = still_task("first", "create_group")
    put_record(still, still_ledger, first, s="running", le=NOW + 5000)
    job = still_task("job", "create_group", since=NOW - 60_000, patience=60)
    still.redis.set(lock(job), still_ledger.record(first))
    assert claim(job).verb == "expired"


def test_a_job_that_waits_for_the_pace_is_told_for_how_long_and_for_whom(
    still: StillClock, still_ledger: Ledger, still_task: Make
) -> None:
    job = still_task("job")
    horizon = round(dataclasses.replace(LONG_POLICY, rate=10).horizon_ms)
    still.redis.hset(KEYS.pace, "tat", (NOW + horizon + 70) * 1000)
    assert finish(still_ledger.claim(job, "t1")) == Claim("paced", job.deadline, wait=70)
    still.redis.delete(KEYS.pace)
    still.redis.hset(KEYS.pace, mapping={"turn": 2, "p:contacts": 3, "w:reads": NOW + 9})
    assert finish(still_ledger.claim(job, "t1")) == Claim("paced", job.deadline, wait=100, turn="reads")
    assert still.all().keys() == {KEYS.pace, "acks", "bodies"}
