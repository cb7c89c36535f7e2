"""What settle.lua does with a message whose id was answered before, and with an answer whose event Redis refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import redis

from delivery import Ledger, Task
from delivery.settlement import (
    Done,
    Failed,
    Lost,
    SetAside,
    Settlement,
    Waiting,
)
from delivery.task import short_digest
from tests.harness.records import (
    AFTER_MS,
    DAY_MS,
    DONE,
    EVENT,
    FAILED,
    KEYS,
    MINUTE,
    ON_STREAM,
    OURS,
    UNKNOWN,
    USED,
    Make,
    lock,
    record,
)
from tests.harness.still_clock import NOW, StillClock, marked
from tests.harness.sync_ledger import finish


def without(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in names}


def test_a_repeat_of_what_succeeded_is_acknowledged_without_a_word(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job")
    still.redis.set(KEYS.answered("job"), f"+{job.asked}")
    before = still.all()
    assert finish(still_ledger.settle(job, "t1", FAILED)) == OURS
    assert still.all() == without(before, "acks", "bodies")
    assert still.lives(KEYS.answered("job"), DAY_MS)


@pytest.mark.parametrize(
    ("settlement", "state"),
    [(DONE, "done"), (FAILED, None), (UNKNOWN, "unknown"), (Lost(), "unknown"), (Waiting(), "waiting")],
)
def test_a_used_id_writes_its_record_and_leaves_its_message(
    still: StillClock, still_ledger: Ledger, claimed: Make, settlement: Settlement, state: str | None
) -> None:
    job = claimed("job", "create_group")
    lock = KEYS.name_lock("sms", short_digest(job.job.taken_name()))
    still.redis.set(KEYS.answered("job"), "+another")
    still.redis.hset(still_ledger.record(job), mapping={"v": "found", "ev": "{}"})
    before = still.all()
    assert finish(still_ledger.settle(job, "t1", settlement)) == USED
    after = still.all()
    assert record(still, still_ledger, job).get("state") == state
    assert without(after, still_ledger.record(job), lock) == without(before, still_ledger.record(job), lock)
    assert lock not in after
    if settlement.op == "lost":
        told = record(still, still_ledger, job)
        assert (told["lost_at"], told["look_at"]) == (str(NOW), str(NOW + AFTER_MS))
        assert not {"token", "verdict", "evidence"} & told.keys()
        assert still.lives(still_ledger.record(job), 8 * DAY_MS)


def test_a_message_under_a_used_id_is_set_aside_once(
    still: StillClock, still_ledger: Ledger, still_task: Make
) -> None:
    job = still_task("job")
    for _ in range(2):
        assert finish(still_ledger.settle(job, "t1", SetAside(events=[EVENT], reason="used"))) == OURS
        assert still.all() == {
            KEYS.events: [ON_STREAM],
            "dead": {"job": NOW},
            "dead.b": {"job": "{}"},
            "dead.r": {"job": "used"},
        }


def due_answer(still: StillClock, ledger: Ledger, job: Task, settlement: Settlement, **given: Any) -> None:
    """Settle while the stream cannot be written: the answer is noted as due, and its events are not written."""
    still.redis.set(KEYS.events, "something else")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        finish(ledger.settle(job, "t1", settlement, **given))
    assert still.all()[KEYS.answered(job.message_id)].startswith("!")
    assert still.lives(KEYS.answered(job.message_id), DAY_MS)
    still.redis.delete(KEYS.events)


def test_an_answer_whose_event_was_refused_is_given_by_a_repeat(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job", reply_to="me")
    due_answer(still, still_ledger, job, DONE)
    assert KEYS.reply("me") not in still.all(), "a repeat pushes it again"
    assert finish(still_ledger.settle(job, "t1", DONE)) == OURS
    found = still.all()
    assert (found[KEYS.events], found[KEYS.reply("me")]) == ([ON_STREAM], ['{"x":1}'])
    assert found.items() >= marked(job, DAY_MS).items()
    assert KEYS.answered("job") not in found
    assert found[still_ledger.record(job)]["s"] == "done"
    assert found[MINUTE]["contacts|succeeded"] == "1"


@pytest.mark.parametrize("settlement", [DONE, FAILED, UNKNOWN])
def test_an_answer_that_is_due_is_given_though_its_record_became_another_s(
    still: StillClock, still_ledger: Ledger, claimed: Make, settlement: Settlement
) -> None:
    """The record, with the lock of its name, is left to the job that has it now."""
    job = claimed("job", "create_group")
    settlement = (
        dataclasses.replace(settlement, claim="gro_1") if isinstance(settlement, Done) else settlement
    )
    due_answer(still, still_ledger, job, settlement)
    still.redis.hset(still_ledger.record(job), mapping={"s": "running", "t": "t2"})
    still.redis.set(lock(job), still_ledger.record(job))
    still.redis.delete(KEYS.claimed("sms", "gro_1"))
    still.redis.zadd(KEYS.unknown(job.listing), {still_ledger.record(job): 1})
    before = still.all()
    kept = [still_ledger.record(job), lock(job), KEYS.unknown(job.listing)]
    assert finish(still_ledger.settle(job, "t1", settlement)) == OURS
    found = still.all()
    assert [found[key] for key in kept] == [before[key] for key in kept]
    assert KEYS.claimed("sms", "gro_1") not in found
    assert found[KEYS.events] == [ON_STREAM]
    assert "acks" not in found


def test_an_answer_that_is_due_stands_whatever_another_says(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job")
    due_answer(still, still_ledger, job, DONE)
    other = Failed(events=[("other", "{}")], reason="why")
    assert finish(still_ledger.settle(job, "t2", other)) == OURS
    found = still.all()
    assert found[KEYS.events] == [ON_STREAM]
    assert found.items() >= marked(job, DAY_MS).items()
    assert KEYS.answered("job") not in found
    assert not {"acks", "bodies", "dead"} & found.keys()


@pytest.mark.parametrize(("settlement", "verb"), [(DONE, "answered"), (FAILED, "answered")])
def test_an_answer_that_is_due_is_given_by_whoever_claims_its_message(
    still: StillClock, still_ledger: Ledger, claimed: Make, settlement: Settlement, verb: str
) -> None:
    job = claimed("job")
    due_answer(still, still_ledger, job, settlement)
    assert finish(still_ledger.claim(job, "t2")).verb == verb
    found = still.all()
    assert found[KEYS.events] == [ON_STREAM]
    assert not {"acks", "bodies"} & found.keys()
    assert found[MINUTE]["contacts|first"] == str(NOW)
