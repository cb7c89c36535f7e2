"""When claim.lua has a lost call looked up, and for whom."""

from __future__ import annotations

from typing import Any

import pytest

from delivery import Ledger
from delivery.claim import Claim
from delivery.settlement import Lost, Waiting
from tests.harness.holds import put_hold
from tests.harness.records import (
    AFTER_MS,
    COVER_MS,
    KEYS,
    Ask,
    Make,
    holds,
    put_record,
    record,
    unknown,
)
from tests.harness.still_clock import NOW, StillClock
from tests.harness.sync_ledger import finish


def test_a_lost_call_is_looked_up_when_its_time_has_come(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job")
    unknown(still, still_ledger, job, n=2)
    for key in ("id", "b"):
        still.redis.hdel(still_ledger.record(job), key)
    assert claim(job) == Claim("read_back", job.deadline, attempts=2, lost_at=NOW - 5000)
    found = still.all()
    assert found[KEYS.reader(job.listing)] == "t1"
    assert still.lives(KEYS.reader(job.listing), COVER_MS)
    assert found[KEYS.unknown(job.listing)] == {still_ledger.record(job): NOW}
    told = record(still, still_ledger, job)
    # The record names the message to wake when there is a verdict.
    assert (told["waiting_in"], told["bodies"], told["id"], told["message"]) == (
        "delayed",
        "bodies",
        "job",
        "job",
    )
    assert told["deadline"] == str(job.deadline)
    assert (told["state"], "token" in told) == ("unknown", False)
    # A repeated claim with the same token still has the reader lock.
    assert claim(job).verb == "read_back"


def test_before_its_time_a_lost_call_waits(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job")
    unknown(still, still_ledger, job, rb=NOW + 1)
    assert claim(job) == Claim("deferred", job.deadline, reason="unknown", wait=1)
    still.redis.sadd("acks", "job")
    still.redis.hset(still_ledger.record(job), "rb", job.deadline + 5)
    assert claim(job).wait == job.deadline - NOW


def test_a_call_that_was_lost_in_the_future_is_looked_up_anew(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    """The clock was set back since."""
    job = still_task("job")
    unknown(still, still_ledger, job, en=NOW + 1, rb=NOW)
    assert claim(job) == Claim("deferred", job.deadline, reason="unknown", wait=AFTER_MS)
    found = record(still, still_ledger, job)
    assert (found["lost_at"], found["look_at"]) == (str(NOW), str(NOW + AFTER_MS))
    assert still.all()[KEYS.unknown(job.listing)] == {still_ledger.record(job): NOW + AFTER_MS}


@pytest.mark.parametrize(
    ("left", "least", "most"), [(30, 55, 55), (1500, 1300, 1505), (9000, 2000, 2000), (None, 55, 55)]
)
def test_while_another_reads_the_listing_a_look_up_waits_for_it(
    still: StillClock,
    still_ledger: Ledger,
    still_task: Make,
    claim: Ask,
    left: int | None,
    least: int,
    most: int,
) -> None:
    job = still_task("job")
    unknown(still, still_ledger, job)
    still.redis.set(KEYS.reader(job.listing), "other", px=left)
    answer = claim(job)
    if left == 30 and answer.verb == "read_back":
        # The reader lock ran out meanwhile.
        return
    assert (answer.verb, answer.reason) == ("deferred", "unknown")
    assert least <= answer.wait <= most


def test_where_a_process_has_no_room_another_may_have_it(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job")
    unknown(still, still_ledger, job)
    assert claim(job, may_list=False) == Claim("deferred", job.deadline, reason="unknown", wait=500)
    assert KEYS.reader(job.listing) not in still.all()


def test_no_look_up_waits_beyond_its_deadline(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job", since=NOW - 60_000, patience=60.1)
    unknown(still, still_ledger, job)
    assert claim(job, may_list=False).wait == 100
    still.redis.sadd("acks", "job")
    still.redis.set(KEYS.reader(job.listing), "other", px=60_000)
    assert claim(job).wait == 100


def test_a_look_up_does_not_wait_for_a_kind_of_call_that_fails(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job")
    unknown(still, still_ledger, job)
    hold = put_hold(still.redis, KEYS, "sms/outage/add_contact", retry_at=NOW + 900, call_only=True)
    answer = claim(job)
    assert (answer.verb, answer.probe) == ("read_back", False)
    # The next probe is a call of this kind, and comes when it is due: after an outage, look-ups put it off for as long as they came.
    assert holds(still) == {"sms/outage/add_contact": hold}
    put_hold(still.redis, KEYS, "account/outage", retry_at=NOW + 900)
    assert claim(job).verb == "parked"


def test_a_look_up_probes_as_the_listing_that_it_is(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    """If the listing itself was refused, this job would meet the same refusal as the one before it."""
    job = still_task("job")
    unknown(still, still_ledger, job)
    put_hold(still.redis, KEYS, "sms/refused", bare=True, about=job.about)
    assert claim(job).probe
    put_hold(still.redis, KEYS, "sms/refused", bare=True, about=job.listing)
    assert claim(job, "t2").verb == "parked"


@pytest.mark.parametrize(
    ("hold", "due", "reader", "may_list", "reads"),
    [
        ({"retry_at": NOW}, NOW, None, True, True),
        ({"retry_at": NOW}, NOW + 1, None, True, False),
        ({"retry_at": NOW}, NOW, "other", True, False),
        ({"retry_at": NOW}, NOW, None, False, False),
        ({"retry_at": NOW, "kind": "asked", "length": 5}, NOW, None, True, False),
        ({"retry_at": NOW, "call_only": True}, NOW, None, True, False),
    ],
)
def test_whoever_may_probe_an_outage_reads_back_first_where_others_wait_for_it(
    still: StillClock, still_task: Make, claim: Ask, hold: dict[str, Any], due: int, reader: str | None,
    *, may_list: bool, reads: bool,
) -> None:  # fmt: skip
    job = still_task("job")
    name = f"account/{hold.get('kind', 'outage')}"
    put_hold(still.redis, KEYS, "sms/outage/add_contact" if "call_only" in hold else name, **hold)
    still.redis.zadd(KEYS.unknown(job.listing), {"another record": due})
    if reader:
        still.redis.set(KEYS.reader(job.listing), reader)
    # A claim that is repeated after a lost reply returns the same: otherwise the reader lock would be taken while nobody reads.
    for _ in range(2):
        answer = claim(job, may_list=may_list)
        assert answer.verb == ("read_back" if reads else "call")
        # Its own call was not lost.
        assert answer.lost_at is None


def test_whoever_reads_back_for_others_leaves_the_probe_of_its_kind_of_call_to_a_call(
    still: StillClock, still_task: Make, claim: Ask
) -> None:
    """The listing put this probe off by an interval, and showed nothing about such calls."""
    job = still_task("job")
    hold = put_hold(still.redis, KEYS, "sms/outage/add_contact", call_only=True)
    put_hold(still.redis, KEYS, "account/outage")
    still.redis.zadd(KEYS.unknown(job.listing), {"another record": NOW})
    answer = claim(job)
    assert (answer.verb, answer.probe) == ("read_back", True)
    assert holds(still)["account/outage"]["probe"] == "t1"
    assert holds(still)["sms/outage/add_contact"] == hold


def test_a_read_never_reads_back_for_others(still: StillClock, still_task: Make, claim: Ask) -> None:
    job = still_task("job", "list_contacts")
    put_hold(still.redis, KEYS, "account/outage")
    still.redis.zadd(KEYS.unknown(job.listing), {"another record": 1})
    assert claim(job).verb == "call"


@pytest.mark.parametrize(
    ("left", "look_in"),
    [
        # The deadline comes after the look.
        (AFTER_MS + 1, AFTER_MS),
        # The deadline comes first: one look five seconds before it, or half-way if that is later.
        (AFTER_MS, AFTER_MS - 5000),
        (6000, 3000),
    ],
)
def test_a_call_whose_deadline_comes_before_its_look_is_looked_up_once_before_it(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask, left: int, look_in: int
) -> None:
    job = still_task("job", since=NOW - 3_600_000 + left)
    put_record(still, still_ledger, job, s="running", t="other", cl=NOW - 900, le=NOW)
    assert claim(job).wait == look_in


def test_settled_as_waiting_and_lost_it_goes_on_where_it_was(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job")
    claim(job)
    finish(still_ledger.settle(job, "t1", Waiting(keep=True)))
    assert claim(job, "t2").attempts == 2
    finish(still_ledger.settle(job, "t2", Lost(keep=True)))
    assert claim(job, "t3").reason == "unknown"
