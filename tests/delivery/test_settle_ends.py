"""What settle.lua leaves in Redis of a job that has ended, key by key."""

from __future__ import annotations

import dataclasses

import pytest

from delivery import Ledger
from delivery.settlement import (
    Done,
    Lost,
    Replayed,
    Settled,
    Settlement,
    Waiting,
)
from delivery.task import short_digest
from tests.harness.records import (
    DAY_MS,
    DONE,
    EVENT,
    FAILED,
    KEYS,
    LIFE_MS,
    MINUTE,
    ON_STREAM,
    OURS,
    STALE,
    UNKNOWN,
    Make,
    record,
)
from tests.harness.still_clock import NOW, StillClock, marked
from tests.harness.sync_ledger import finish


def test_a_job_that_was_carried_out_leaves_its_outcome_its_event_and_nothing_else(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job")
    for _ in range(2):
        assert finish(still_ledger.settle(job, "t1", DONE)) == OURS
        assert still.all() == {
            still_ledger.record(job): {"s": "done", "fp": job.fingerprint[:16], "o": "{}"},
            **marked(job, DAY_MS),
            KEYS.events: [ON_STREAM],
            MINUTE: {"contacts|succeeded": "1", "contacts|first": str(NOW)},
        }
    assert still.lives(still_ledger.record(job), DAY_MS)
    assert still.lives(KEYS.marks(job.marks), DAY_MS + 60_000)
    assert still.lives(MINUTE, 2 * DAY_MS)


def test_without_an_outcome_to_keep_there_is_no_record(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job", "list_contacts")
    assert finish(still_ledger.settle(job, "t1", Done(events=[EVENT]))) == OURS
    assert still_ledger.record(job) not in still.all()
    assert still.all().items() >= marked(job, DAY_MS).items()


def test_a_failure_leaves_a_dead_letter_and_frees_its_key(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job")
    for _ in range(2):
        assert finish(still_ledger.settle(job, "t1", FAILED)) == OURS
        assert still.all() == {
            KEYS.answered("job"): f"-{job.asked} job",
            KEYS.events: [ON_STREAM],
            MINUTE: {"contacts|failed:rejected": "1", "contacts|first": str(NOW)},
            "dead": {"job": NOW},
            "dead.b": {"job": "{}"},
            "dead.r": {"job": "why"},
        }


def test_a_failure_without_a_reason_leaves_no_dead_letter(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job")
    finish(still_ledger.settle(job, "t1", dataclasses.replace(FAILED, reason=None)))
    assert "dead" not in still.all()


@pytest.mark.parametrize(("size", "kept"), [(327_680, "x" * 327_680), (327_681, '{"bytes":327681}')])
def test_a_dead_letter_that_is_too_long_is_kept_without_its_content(
    still: StillClock, still_ledger: Ledger, claimed: Make, size: int, kept: str
) -> None:
    job = claimed("job")
    still.redis.hset("bodies", "job", "x" * size)
    finish(still_ledger.settle(job, "t1", FAILED))
    assert still.all()["dead.b"] == {"job": kept}


def test_what_nobody_knows_keeps_its_key_for_whoever_sends_it_again(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job")
    still.redis.zadd(KEYS.unknown(job.listing), {still_ledger.record(job): 1})
    assert finish(still_ledger.settle(job, "t1", UNKNOWN)) == OURS
    found = still.all()
    assert KEYS.unknown(job.listing) not in found
    told = record(still, still_ledger, job)
    assert (told["state"], told["fingerprint"], told["attempts"]) == ("unknown", job.fingerprint, "1")
    assert "token" not in told
    # The record lives longer than the dead letter.
    assert still.lives(still_ledger.record(job), 8 * DAY_MS)
    assert (found["dead"], found[MINUTE]["contacts|failed:unknown"]) == ({"job": NOW}, "1")


@pytest.mark.parametrize(
    ("settlement", "freed"),
    [(DONE, True), (FAILED, True), (UNKNOWN, True), (Waiting(), True), (Lost(), False)],
)
@pytest.mark.parametrize("its", [True, False])
def test_a_name_is_freed_by_whoever_holds_it(
    still: StillClock, still_ledger: Ledger, claimed: Make, settlement: Settlement, *, its: bool, freed: bool
) -> None:
    job = claimed("job", "create_group")
    lock = KEYS.name_lock("sms", short_digest(job.job.taken_name()))
    assert still.all()[lock] == still_ledger.record(job)
    if not its:
        still.redis.set(lock, "another")
    finish(still_ledger.settle(job, "t1", settlement))
    assert (lock in still.all()) is not (freed and its)


def test_a_group_that_is_a_job_s_answer_is_no_other_s(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job", "create_group")
    finish(still_ledger.settle(job, "t1", dataclasses.replace(DONE, claim="gro_7")))
    key = KEYS.claimed("sms", "gro_7")
    assert still.all()[key] == {"gro_7"}
    assert still.lives(key, LIFE_MS)


def test_a_replay_touches_no_record(still: StillClock, still_ledger: Ledger, still_task: Make) -> None:
    job = still_task("job")
    still.redis.hset(still_ledger.record(job), mapping={"s": "done", "o": "{}"})
    assert finish(still_ledger.settle(job, "t1", Replayed(events=[EVENT]))) == OURS
    assert still.all() == {
        still_ledger.record(job): {"s": "done", "o": "{}"},
        **marked(job, DAY_MS),
        KEYS.events: [ON_STREAM],
        MINUTE: {"contacts|replayed": "1", "contacts|first": str(NOW)},
    }


@pytest.mark.parametrize("settlement", [DONE, FAILED, UNKNOWN, Waiting(), Lost(), Done(events=[])])
@pytest.mark.parametrize("state", ["running", "waiting"])
def test_a_record_that_became_another_s_is_left_alone(
    still: StillClock, still_ledger: Ledger, claimed: Make, settlement: Settlement, state: str
) -> None:
    job = claimed("job")
    still.redis.hset(still_ledger.record(job), mapping={"t": "t2", "s": state})
    before = still.all()
    assert finish(still_ledger.settle(job, "t1", settlement)) == STALE
    assert still.all() == before


@pytest.mark.parametrize(
    ("settlement", "answer"),
    [(DONE, OURS), (Lost(), OURS), (FAILED, STALE), (UNKNOWN, STALE), (Waiting(), STALE)],
)
@pytest.mark.parametrize("effect", [True, False])
def test_what_the_api_answered_is_believed_though_the_record_was_lost(
    still: StillClock,
    still_ledger: Ledger,
    claimed: Make,
    settlement: Settlement,
    answer: Settled,
    *,
    effect: bool,
) -> None:
    if not effect and settlement.op == "lost":
        return
    job = claimed("job", "add_contact" if effect else "list_contacts")
    still.redis.delete(still_ledger.record(job))
    assert finish(still_ledger.settle(job, "t1", settlement)) == (answer if effect else STALE)


@pytest.mark.parametrize(
    ("fields", "believed"),
    [
        ({}, True),
        ({"t": "t2", "v": "found"}, True),
        ({"t": "t2"}, False),
        ({"t": "t2", "v": "absent"}, False),
        ({"fp": "another"}, False),
        ({"s": "waiting"}, False),
    ],
)
def test_an_answer_is_worth_more_than_a_record_that_nobody_finds_out_about(
    still: StillClock, still_ledger: Ledger, still_task: Make, fields: dict[str, str], *, believed: bool
) -> None:
    job = still_task("job")
    still.redis.hset(still_ledger.record(job), mapping={"s": "unknown", "fp": job.fingerprint, **fields})
    for settlement in (FAILED, UNKNOWN, Lost()):
        assert finish(still_ledger.settle(job, "t1", settlement)) == STALE
    assert finish(still_ledger.settle(job, "t1", DONE)) == (OURS if believed else STALE)
    assert (record(still, still_ledger, job)["state"] == "done") is believed
