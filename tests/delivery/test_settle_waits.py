"""What settle.lua leaves in Redis of a job that will call again or be looked up."""

from __future__ import annotations

import pytest

from delivery import Ledger
from delivery.settlement import (
    Lost,
    Postponed,
    Settlement,
    Waiting,
)
from tests.harness.records import (
    AFTER_MS,
    DAY_MS,
    DONE,
    FAILED,
    KEYS,
    LIFE_MS,
    ON_STREAM,
    OURS,
    Make,
    record,
)
from tests.harness.still_clock import NOW, StillClock
from tests.harness.sync_ledger import finish


@pytest.mark.parametrize("uncount", [True, False])
def test_what_certainly_did_not_happen_may_call_again(
    still: StillClock, still_ledger: Ledger, claimed: Make, *, uncount: bool
) -> None:
    job = claimed("job")
    for _ in range(2):
        still.redis.hset(still_ledger.record(job), "t", "t1")
        still.redis.pexpire(still_ledger.record(job), DAY_MS)
        settlement = Waiting(delay=700, why="busy there", uncount=uncount)
        assert finish(still_ledger.settle(job, "t1", settlement)) == OURS
        told = record(still, still_ledger, job)
        # A repeat must not give a second attempt back.
        assert (told["state"], told["attempts"], told["why"]) == (
            "waiting",
            "0" if uncount else "1",
            "busy there",
        )
        assert "token" not in told
        found = still.all()
        assert (found["delayed"], "acks" in found, found["bodies"]) == (
            {"job": NOW + 700},
            False,
            {"job": "{}"},
        )
    assert still.lives(still_ledger.record(job), LIFE_MS)
    assert KEYS.answered("job") not in still.all()


def test_what_waits_forgets_its_baseline(still: StillClock, still_ledger: Ledger, claimed: Make) -> None:
    job = claimed("job", "create_group")
    finish(still_ledger.renew(job, "t1", ["gro_0"]))
    finish(still_ledger.settle(job, "t1", Waiting()))
    assert "baseline" not in record(still, still_ledger, job)


def test_nothing_waits_beyond_its_deadline(still: StillClock, still_ledger: Ledger, claimed: Make) -> None:
    for number, (deadline, due) in enumerate(((NOW + 70, NOW + 70), (NOW - 70, NOW), (NOW + 800, NOW + 700))):
        job = claimed(f"job {number}")
        finish(still_ledger.settle(job, "t1", Waiting(delay=700), deadline=deadline))
        assert still.all()["delayed"][f"job {number}"] == due


@pytest.mark.parametrize("settlement", [Waiting(keep=True, delay=700), Lost(keep=True, delay=700)])
def test_a_message_that_stays_in_hand_is_not_put_off(
    still: StillClock, still_ledger: Ledger, claimed: Make, settlement: Settlement
) -> None:
    job = claimed("job")
    finish(still_ledger.settle(job, "t1", settlement))
    assert (still.all()["acks"], "delayed" in still.all()) == ({"job"}, False)


@pytest.mark.parametrize("settlement", [Waiting(delay=700), Lost(delay=700), Postponed(delay=700)])
def test_a_message_that_was_taken_over_is_not_put_off_by_whoever_lost_it(
    still: StillClock, still_ledger: Ledger, claimed: Make, settlement: Settlement
) -> None:
    job = claimed("job")
    still.redis.delete("acks")
    assert finish(still_ledger.settle(job, "t1", settlement)) == OURS
    assert "delayed" not in still.all()


@pytest.mark.parametrize(("settlement", "letter"), [(DONE, False), (FAILED, True)])
def test_a_message_that_was_taken_over_is_answered_and_stays_where_it_is(
    still: StillClock, still_ledger: Ledger, claimed: Make, settlement: Settlement, *, letter: bool
) -> None:
    """The worker that has the message now finds it answered."""
    job = claimed("job")
    still.redis.delete("acks")
    still.redis.rpush("ready", "job")
    assert finish(still_ledger.settle(job, "t1", settlement)) == OURS
    found = still.all()
    assert (found["ready"], found["bodies"], found[KEYS.events]) == (["job"], {"job": "{}"}, [ON_STREAM])
    assert ("dead" in found) is letter


def test_a_message_of_which_nothing_is_known_waits_alone(
    still: StillClock, still_ledger: Ledger, still_task: Make
) -> None:
    job = still_task("job", since=NOW - 3_600_000)
    assert finish(still_ledger.settle(job, "t1", Postponed(delay=9_999_999))) == OURS
    assert still.all() == {"bodies": {"job": "{}"}, "delayed": {"job": NOW + 9_999_999}}


@pytest.mark.parametrize("uncount", [True, False])
@pytest.mark.parametrize(("delay", "pause"), [(0, AFTER_MS), (AFTER_MS + 5, AFTER_MS + 5)])
def test_a_lost_call_is_looked_up_before_any_other(
    still: StillClock, still_ledger: Ledger, claimed: Make, delay: int, pause: int, *, uncount: bool
) -> None:
    job = claimed("job")
    still.redis.hset(still_ledger.record(job), mapping={"v": "absent", "ev": "{}"})
    for _ in range(2):
        still.redis.hset(still_ledger.record(job), "t", "t1")
        still.redis.pexpire(still_ledger.record(job), DAY_MS)
        settlement = Lost(delay=delay, why="it broke off", uncount=uncount)
        assert finish(still_ledger.settle(job, "t1", settlement)) == OURS
        told = record(still, still_ledger, job)
        assert (told["state"], told["lost_at"], told["look_at"]) == ("unknown", str(NOW), str(NOW + pause))
        assert (told["why"], told["attempts"]) == ("it broke off", "0" if uncount else "1")
        assert not {"token", "verdict", "evidence"} & told.keys()
        found = still.all()
        assert found[KEYS.unknown(job.listing)] == {still_ledger.record(job): NOW + pause}
        # The message itself waits only for its delay.
        assert found["delayed"] == {"job": NOW + delay}
    assert still.lives(still_ledger.record(job), LIFE_MS)


def test_answers_about_another_are_counted(still: StillClock, still_ledger: Ledger, claimed: Make) -> None:
    job = claimed("job")
    # A lost call of another kind between them changes nothing.
    for another, count in ((None, None), (True, "1"), (None, "1"), (True, "2")):
        still.redis.hset(still_ledger.record(job), mapping={"t": "t1", "s": "running"})
        assert finish(still_ledger.settle(job, "t1", Lost(another=another))) == OURS
        assert record(still, still_ledger, job).get("another") == count
        # If the script was cut off before it forgot the token, its repeat must not count the answer again.
        still.redis.hset(still_ledger.record(job), "t", "t1")
        assert finish(still_ledger.settle(job, "t1", Lost(another=another))) == OURS
        assert record(still, still_ledger, job).get("another") == count
    _, [unknown] = finish(still_ledger.unknowns.of(job.listing))
    assert unknown.another == 2
    # Older workers wrote no such field.
    still.redis.hdel(still_ledger.record(job), "an")
    _, [unknown] = finish(still_ledger.unknowns.of(job.listing))
    assert unknown.another == 0


def test_the_next_call_keeps_the_count_of_answers_about_another(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job")
    finish(still_ledger.settle(job, "t1", Lost(another=True)))
    still.redis.hset(still_ledger.record(job), "v", "absent")
    still.redis.sadd("acks", "job")
    assert finish(still_ledger.claim(job, "t2")).verb == "call"
    assert record(still, still_ledger, job)["another"] == "1"


def test_a_record_that_was_forgotten_is_written_anew_by_a_lost_call(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    """After a failover to a replica that lagged behind, the call would otherwise be made again."""
    for actor, baseline in (("add_contact", None), ("create_group", '["*"]')):
        job = claimed(actor, actor)
        still.redis.delete(still_ledger.record(job))
        assert finish(still_ledger.settle(job, "t1", Lost())) == OURS
        told = record(still, still_ledger, job)
        assert (told["state"], told["fingerprint"], told["attempts"]) == ("unknown", job.fingerprint, "1")
        assert (told["needle"], told.get("baseline")) == (job.job.needle(), baseline)
