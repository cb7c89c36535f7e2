"""Which jobs end without a call, as claim.lua decides (found, cancelled, worn, expired); and what counts against a deadline."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from delivery import Ledger, batch_key
from delivery.claim import Claim
from tests.harness.holds import put_past_hold
from tests.harness.records import (
    KEYS,
    LIFE_MS,
    Ask,
    Make,
    put_record,
    record,
    unknown,
)
from tests.harness.still_clock import NOW, StillClock


@pytest.mark.parametrize("others", [False, True])
def test_a_lost_call_that_was_found_belongs_to_whoever_asks_for_the_same(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask, *, others: bool
) -> None:
    job = still_task("job", idempotency_key=None)
    unknown(
        still,
        still_ledger,
        job,
        v="found",
        ev='{"contact_id":"con_1"}',
        n=2,
        **({"fp": "another"} if others else {}),
    )
    if others:
        assert claim(job) == Claim("conflict", job.deadline)
        assert "token" not in record(still, still_ledger, job)
        return
    found = Claim("found", job.deadline, attempts=2, reconciled=True, evidence=b'{"contact_id":"con_1"}')
    assert claim(job) == found
    assert (record(still, still_ledger, job)["token"], record(still, still_ledger, job)["state"]) == (
        "t1",
        "unknown",
    )
    assert still.lives(still_ledger.record(job), LIFE_MS)


def cancel(still: StillClock, *marks: str, **more: str) -> None:
    still.redis.hset(KEYS.cancelled, mapping={**dict.fromkeys(marks, str(NOW)), **more})


@pytest.mark.parametrize("mark", ["m:job", "b:spring"])
@pytest.mark.parametrize(
    "fields", [{}, {"s": "waiting", "n": 3, "rc": 1}, {"s": "unknown", "v": "absent", "n": 3, "rc": 1}]
)
def test_what_is_cancelled_and_was_not_carried_out_ends(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask, mark: str, fields: dict[str, Any]
) -> None:
    job = still_task("job", batch_id="spring")
    if fields:
        put_record(still, still_ledger, job, **fields)
    cancel(still, mark)
    known = bool(fields)
    assert claim(job) == Claim("cancelled", job.deadline, attempts=3 if known else 0, reconciled=known)
    found = record(still, still_ledger, job)
    assert (found["state"], found["token"], found["fingerprint"]) == ("waiting", "t1", job.fingerprint)
    assert still.lives(still_ledger.record(job), LIFE_MS)
    assert still.all()[KEYS.cancelled]["pace"] == f"{NOW // 1000} 1"


MARKED = NOW - 1000


@pytest.mark.parametrize(
    ("sent", "counts", "word"),
    [
        (MARKED, {}, "cancelled"),
        # The batch's name is used again.
        (MARKED + 1, {}, "call"),
        (MARKED + 1, {"id": "spring", "began_at": MARKED + 1}, "call"),
        # The counts of the cancelled batch are still there.
        (MARKED + 1, {"id": "spring", "began_at": MARKED}, "cancelled"),
        (MARKED + 1, {"id": "spring"}, "cancelled"),
        # The job was sent before the mark was set, and the counts are those of a later batch.
        (MARKED, {"id": "spring", "began_at": MARKED + 1}, "cancelled"),
    ],
)
def test_a_batch_s_mark_catches_what_was_sent_before_and_later_jobs_as_long_as_its_counts_live(
    still: StillClock, still_task: Make, claim: Ask, sent: int, counts: dict[str, Any], word: str
) -> None:
    """Otherwise a batch of the same name a month later would be cancelled, too."""
    job = still_task("job", batch_id="spring")
    job.receipt = dataclasses.replace(job.receipt, sent=sent)
    still.redis.hset(KEYS.cancelled, "b:spring", MARKED)
    if counts:
        still.redis.hset(batch_key(KEYS, "spring"), mapping=counts)
    assert claim(job).verb == word


@pytest.mark.parametrize(("sent", "word"), [(MARKED, "cancelled"), (MARKED + 1, "call")])
def test_a_message_s_mark_catches_no_later_message_of_its_id(
    still: StillClock, still_task: Make, claim: Ask, sent: int, word: str
) -> None:
    """An import derives its message ids from its batch's name: a cancelled row would be cancelled in each later import of that name."""
    job = still_task("job")
    job.receipt = dataclasses.replace(job.receipt, sent=sent)
    still.redis.hset(KEYS.cancelled, "m:job", MARKED)
    assert claim(job).verb == word


def test_a_job_that_its_producer_s_clock_has_sent_tomorrow_is_cancelled_with_its_batch(
    still: StillClock, still_task: Make, claim: Ask
) -> None:
    job = still_task("job", batch_id="spring")
    job.receipt = dataclasses.replace(job.receipt, sent=NOW + 86_400_000)
    still.redis.hset(KEYS.cancelled, "b:spring", NOW)
    assert claim(job).verb == "cancelled"


def test_what_another_job_s_cancelling_marks_is_not_cancelled(
    still: StillClock, still_task: Make, claim: Ask
) -> None:
    cancel(still, "m:other", "b:summer")
    assert claim(still_task("job", batch_id="spring")).verb == "call"


def test_who_waits_for_another_s_record_is_cancelled_without_it(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job", idempotency_key=None)
    put_record(still, still_ledger, job, s="waiting", fp="another", n=3, rc=1)
    cancel(still, "m:job")
    before = record(still, still_ledger, job)
    assert claim(job) == Claim("cancelled", job.deadline, owned=False)
    assert record(still, still_ledger, job) == before


def test_a_cancelled_call_that_may_have_happened_is_looked_up_first(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask
) -> None:
    job = still_task("job")
    unknown(still, still_ledger, job)
    cancel(still, "m:job")
    assert claim(job).verb == "read_back"
    # The mark `u:` keeps the job from being brought forward again and again meanwhile.
    assert still.all()[KEYS.cancelled] == {"m:job": str(NOW), "u:job": str(NOW)}


@pytest.mark.parametrize(
    ("told", "word", "pace"),
    [
        (f"{NOW // 1000} 999", "cancelled", f"{NOW // 1000} 1000"),
        (f"{NOW // 1000} 1000", "deferred", f"{NOW // 1000} 1000"),
        (f"{NOW // 1000 - 1} 1000", "cancelled", f"{NOW // 1000} 1"),
    ],
)
def test_a_thousand_cancelled_jobs_are_answered_in_a_second(
    still: StillClock, still_task: Make, claim: Ask, told: str, word: str, pace: str
) -> None:
    """If more were answered at once, a reader of the stream could not follow."""
    cancel(still, "m:job", pace=told)
    answer = claim(still_task("job"))
    assert answer.verb == word
    assert still.all()[KEYS.cancelled]["pace"] == pace
    if word == "deferred":
        assert (answer.reason, answer.wait) == ("cancelled", 1000 - NOW % 1000)


@pytest.mark.parametrize(
    ("fields", "answer", "state"),
    [
        ({}, {}, "waiting"),
        ({"s": "waiting", "n": 4, "rc": 1}, {"attempts": 4, "reconciled": True}, "waiting"),
        ({"s": "unknown", "n": 4}, {"attempts": 4, "reason": "doubtful"}, "unknown"),
        ({"s": "unknown", "n": 4, "v": "absent"}, {"attempts": 4}, "waiting"),
        ({"s": "waiting", "n": 4, "fp": "another", "rc": 1}, {"owned": False}, None),
    ],
)
def test_what_workers_died_with_only_ends(
    still: StillClock, still_ledger: Ledger, still_task: Make, claim: Ask, fields: dict[str, Any],
    answer: dict[str, Any], state: str | None,
) -> None:  # fmt: skip
    job = still_task("job", idempotency_key=None)
    job.receipt = dataclasses.replace(job.receipt, deaths=5)
    if fields:
        put_record(still, still_ledger, job, **fields)
    before = record(still, still_ledger, job)
    assert claim(job) == Claim("worn", job.deadline, **answer)
    found = record(still, still_ledger, job)
    assert found == before if state is None else (found["state"], found["token"]) == (state, "t1")


def test_what_four_workers_died_with_is_tried_once_more(still_task: Make, claim: Ask) -> None:
    job = still_task("job")
    job.receipt = dataclasses.replace(job.receipt, deaths=4)
    assert claim(job).verb == "call"


@pytest.mark.parametrize(
    ("fields", "answer", "state"),
    [
        ({}, Claim("expired"), "waiting"),
        (
            {"s": "waiting", "n": 2, "w": "busy there", "rc": 1},
            Claim("expired", attempts=2, reason="busy there", reconciled=True),
            "waiting",
        ),
        (
            {"s": "unknown", "en": 5, "n": 2, "w": "why"},
            Claim("unknown", attempts=2, reason="why"),
            "unknown",
        ),
        ({"s": "unknown", "en": 5, "v": "absent", "n": 2}, Claim("expired", attempts=2), "waiting"),
    ],
)
def test_when_the_deadline_has_passed_it_ends(
    still: StillClock,
    still_ledger: Ledger,
    still_task: Make,
    claim: Ask,
    fields: dict[str, Any],
    answer: Claim,
    state: str,
) -> None:
    job = still_task("job", since=NOW - 60_000, patience=60)
    still.redis.hset(KEYS.alone, mapping={job.about: "1 5", job.listing: "1 5"})
    if fields:
        put_record(still, still_ledger, job, **fields)
    assert claim(job) == dataclasses.replace(answer, deadline=job.deadline)
    found = record(still, still_ledger, job)
    assert (found["state"], found["token"], found["fingerprint"]) == (state, "t1", job.fingerprint)
    # The job makes no call any more, so its call is removed from those that wait alone; or its listing, if the call was lost.
    assert still.all()[KEYS.alone].keys() == ({job.about} if state == "unknown" else {job.listing})


def test_a_millisecond_before_its_deadline_it_calls(still_task: Make, claim: Ask) -> None:
    assert claim(still_task("job", since=NOW - 59_999, patience=60)).verb == "call"


@pytest.mark.parametrize(
    ("past", "since_ago", "adds"),
    [
        ([(-50_000, -20_000)], 60_000, 30_000),
        ([(-90_000, -20_000)], 60_000, 40_000),
        ([(-90_000, -70_000)], 60_000, 0),
        ([(-90_000, -60_000)], 60_000, 0),
        ([(-90_000, -70_000), (-50_000, -40_000), (-30_000, -29_000)], 60_000, 11_000),
        ([(-90_000, -50_000), (-30_000, -29_000)], 60_000, 11_000),
    ],
)
def test_time_that_stood_still_since_it_was_enqueued_is_added(
    still: StillClock, still_task: Make, claim: Ask, past: list[tuple[int, int]], since_ago: int, adds: int
) -> None:
    job = still_task("job", since=NOW - since_ago)
    for began, ended in past:
        put_past_hold(still.redis, KEYS, "sms", NOW + began, NOW + ended)
    assert claim(job).deadline == job.deadline + adds
    # The time of a hold that goes on is added, too.
    still.redis.hset(KEYS.still, "sms", NOW - 7000)
    still.redis.sadd("acks", "job")
    assert claim(job).deadline == job.deadline + adds + 7000
    still.redis.hset(KEYS.still, "sms", NOW - 2 * since_ago)
    if not adds:
        assert claim(job).deadline == job.deadline + since_ago
    still.redis.hset(KEYS.still, "sms", NOW + 5)
    assert claim(job).deadline == job.deadline + adds
