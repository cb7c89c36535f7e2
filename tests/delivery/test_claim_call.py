"""What claim.lua puts on record before a call, and what it returns for a job or a message that was answered before."""

from __future__ import annotations

import dataclasses
import json

import pytest

from delivery import Ledger
from delivery.claim import Claim
from tests.harness.holds import put_hold
from tests.harness.records import (
    AFTER_MS,
    COVER_MS,
    DAY_MS,
    KEYS,
    LIFE_MS,
    Ask,
    Make,
    put_record,
    record,
    unknown,
)
from tests.harness.still_clock import MICROS, NOW, StillClock
from tests.harness.sync_ledger import finish


def test_a_call_is_on_record_before_any_byte_leaves(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job")
    assert claim(job) == Claim("call", job.deadline, attempts=1, wait=0, lease=COVER_MS)
    assert record(still, still_ledger, job) == {
        "state": "running",
        "fingerprint": job.fingerprint,
        "token": "t1",
        "claimed_at": str(NOW),
        "slot": str(NOW),
        "lease_end": str(NOW + COVER_MS),
        "attempts": "1",
        "needle": job.job.needle(),
        "reconciled": "0",
        "waiting_in": "delayed",
        "bodies": "bodies",
        "id": "job",
        "message": "job",
        "deadline": str(job.deadline),
    }
    assert still.lives(still_ledger.record(job), LIFE_MS)
    # Neither the message nor anything else was touched.
    assert still.all().keys() == {still_ledger.record(job), KEYS.pace, "acks", "bodies"}


def test_a_claim_whose_reply_was_lost_is_answered_once_more(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job")
    still.redis.hset(KEYS.pace, "tat", (NOW + 50) * 1000 + MICROS)
    first = finish(still_ledger.claim(job, "t1"))
    assert (first.wait, first.lease) == (50, COVER_MS + 50)
    before = still.all()
    still.now = NOW + 20
    assert claim(job) == dataclasses.replace(first, wait=30, lease=COVER_MS + 30)
    still.now = NOW + 60
    assert claim(job) == dataclasses.replace(first, wait=0, lease=COVER_MS - 10)
    assert still.all() == {name: value for name, value in before.items() if name != KEYS.pace}


def test_the_second_attempt_forgets_what_was_lost_before(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job")
    unknown(still, still_ledger, job, v="absent", ev="{}", un=3, rc=1)
    assert claim(job) == Claim("call", job.deadline, attempts=2, reconciled=True, lease=COVER_MS)
    found = record(still, still_ledger, job)
    assert (found["attempts"], found["reconciled"]) == ("2", "1")
    assert not {"verdict", "evidence", "lost_at", "look_at", "looks"} & found.keys()


def test_only_what_this_worker_has_outstanding_is_claimed(
    still: StillClock, still_task: Make, claim: Ask
) -> None:
    job = still_task("job")
    still.redis.delete("acks")
    before = still.all()
    assert claim(job) == Claim("gone", job.deadline)
    assert still.all() == before


def test_an_answered_message_is_acknowledged_and_its_answer_remembered(
    still: StillClock, still_task: Make, claim: Ask
) -> None:
    for marker in ("+{asked}", "-{asked} job"):
        job = still_task("job")
        still.redis.set(KEYS.answered("job"), marker.format(asked=job.asked))
        assert claim(job) == Claim("answered", job.deadline)
        assert still.all() == {KEYS.answered("job"): marker.format(asked=job.asked)}
        assert still.lives(KEYS.answered("job"), DAY_MS)


@pytest.mark.parametrize("marker", ["+other", "-other job", "-{asked} another"])
def test_an_id_that_was_answered_for_another_message_is_used(
    still: StillClock, still_task: Make, claim: Ask, marker: str
) -> None:
    job = still_task("job")
    still.redis.set(KEYS.answered("job"), marker.format(asked=job.asked))
    before = still.all()
    assert claim(job) == Claim("used", job.deadline)
    assert still.all() == before


@pytest.mark.parametrize(
    ("hold", "kept"), [("sms/paused", LIFE_MS), ("email/paused", DAY_MS), (None, DAY_MS)]
)
def test_a_replay_during_a_hold_forgets_nothing_sooner(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask, hold: str | None, kept: int
) -> None:
    """A repeat that the hold had parked came back after the outcome was forgotten, and was carried out again."""
    job = still_task("job")
    put_record(still, still_ledger, job, s="done", o='{"x":1}')
    # Parking keeps the record for so long.
    still.redis.pexpire(still_ledger.record(job), LIFE_MS)
    if hold:
        put_hold(still.redis, KEYS, hold)
    assert claim(job).verb == "replay"
    assert still.lives(still_ledger.record(job), kept)


def test_what_is_asked_for_does_not_run_out(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job", "list_contacts")
    pages = KEYS.pages("list_contacts", job.digest)
    still.redis.rpush(pages, "{}")
    put_record(still, still_ledger, job, s="done", o='{"x":1}')
    for key in (still_ledger.record(job), pages):
        still.redis.pexpire(key, 1000)
    assert claim(job) == Claim("replay", job.deadline, outcome=b'{"x":1}')
    assert still.lives(still_ledger.record(job), DAY_MS)
    # The pages outlive the record, so that every replay finds all of them.
    assert still.lives(pages, DAY_MS + 60_000)
    assert still.redis.pttl(pages) > DAY_MS


@pytest.mark.parametrize(
    ("state", "derived", "word"),
    [("done", True, "conflict"), ("done", False, "conflict"), ("waiting", False, "conflict"), ("waiting", True, "call"),
     ("running", False, "conflict"), ("unknown", False, "conflict")],
)  # fmt: skip
def test_a_key_of_one_s_own_belongs_to_one_job(
    still: StillClock,
    still_ledger: Ledger,
    still_task: Make,
    claim: Ask,
    state: str,
    word: str,
    *,
    derived: bool,
) -> None:
    job = still_task("job", **({"idempotency_key": None} if derived else {}))
    put_record(still, still_ledger, job, s=state, fp="another")
    before = record(still, still_ledger, job)
    assert claim(job).verb == word
    assert word == "call" or record(still, still_ledger, job) == before


@pytest.mark.parametrize(
    ("began", "left", "pause"),
    [
        (0, 9000, 205),
        (200, 9000, 205),
        (300, 9000, 305),
        (5000, 9000, 5005),
        (5000, 4000, 4005),
        (5000, 1, 6),
    ],
)
def test_whoever_meets_a_call_waits_about_as_long_as_it_has_taken(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask, began: int, left: int, pause: int
) -> None:
    job = still_task("job")
    put_record(still, still_ledger, job, s="running", t="other", cl=NOW - began, le=NOW + left)
    assert claim(job) == Claim("deferred", job.deadline, reason="busy", wait=pause)
    found = still.all()
    assert found["delayed"] == {"job": NOW + pause}
    assert "acks" not in found
    assert record(still, still_ledger, job)["token"] == "other"


def test_a_lease_counts_until_its_last_millisecond(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job")
    put_record(still, still_ledger, job, s="running", t="other", cl=NOW - 900, le=NOW)
    assert claim(job) == Claim("deferred", job.deadline, reason="unknown", wait=AFTER_MS)
    found = record(still, still_ledger, job)
    assert (found["state"], found["lost_at"], found["look_at"]) == ("unknown", str(NOW), str(NOW + AFTER_MS))
    assert "token" not in found
    assert still.all()[KEYS.unknown(job.listing)] == {still_ledger.record(job): NOW + AFTER_MS}


def test_a_claim_of_the_future_is_given_as_long_again_as_a_call_may_take(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    """The clock was set back since, so nobody knows when the call began."""
    job = still_task("job")
    put_record(still, still_ledger, job, s="running", t="other", cl=NOW + 1, le=NOW + 9 * COVER_MS)
    assert claim(job) == Claim("deferred", job.deadline, reason="busy", wait=COVER_MS + 5)
    found = record(still, still_ledger, job)
    assert (found["claimed_at"], found["lease_end"]) == ("0", str(NOW + COVER_MS))


@pytest.mark.parametrize(("actor", "baseline"), [("list_contacts", None), ("create_group", None)])
def test_a_dead_worker_s_call_that_changed_nothing_leaves_no_trace(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask, actor: str, baseline: None
) -> None:
    job = still_task("job", actor)
    put_record(still, still_ledger, job, s="running", t="other", cl=NOW - 900, le=NOW - 1)
    # A pause keeps the job from calling again, so that the record is seen as the dead worker's call leaves it.
    still.redis.hset(KEYS.holds, "sms/paused", json.dumps({"kind": "paused", "scope": "sms"}))
    assert claim(job).verb == "parked"
    found = record(still, still_ledger, job)
    assert found["state"] == "waiting"
    assert not {"token", "baseline"} & found.keys()
    assert KEYS.unknown(job.listing) not in still.all()
