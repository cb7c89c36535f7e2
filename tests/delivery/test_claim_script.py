"""How claim.lua counts held time, and what it does about a call whose worker died."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from actors.add_contact import AddContact
from config.keys import Keys
from delivery import Gate, Ledger, LogLine, Task, Verdict
from delivery.attempt import Attempt
from delivery.retry import Rests
from delivery.settlement import Done, EndedUnknown, Lost, Settlement, Waiting
from tests.harness import House
from tests.harness.holds import put_hold, put_past_hold
from tests.harness.sync_ledger import LONG_POLICY, finish, now_ms

KEYS = Keys()
HOUR_MS = 3_600_000


@pytest.mark.parametrize("over", [True, False], ids=["the hold is over", "the hold goes on"])
@pytest.mark.parametrize("scope", ["sms", "email"])
def test_a_hold_of_its_own_channel_takes_nothing_from_a_job_s_time(
    house: House, ledger: Ledger, task: Callable[..., Task], scope: str, over: bool
) -> None:
    # The job has five hours, and was enqueued ten hours ago. For eight or nine of those ten, the channel `scope` was refused.
    job = task("job", since=now_ms() - 10 * HOUR_MS, patience=5 * 3600)
    assert job.job.scope == "sms"
    began = now_ms() - 9 * HOUR_MS
    if over:
        put_past_hold(house.redis, KEYS, scope, began, began + 8 * HOUR_MS)
    else:
        put_hold(house.redis, KEYS, f"{scope}/refused", since=began)
    assert finish(ledger.claim(job, "t1")).verb == ("call" if scope == "sms" else "expired")


@pytest.mark.parametrize(("minutes_held", "verb"), [(30, "expired"), (90, "call")])
def test_a_hold_adds_to_a_job_s_time_only_what_came_after_the_enqueueing(
    house: House, ledger: Ledger, task: Callable[..., Task], minutes_held: int, verb: str
) -> None:
    enqueued = now_ms() - 2 * HOUR_MS
    job = task("job", since=enqueued, patience=3600)
    put_past_hold(house.redis, KEYS, "sms", enqueued - 8 * HOUR_MS, enqueued + minutes_held * 60_000)
    assert finish(ledger.claim(job, "t1")).verb == verb


def test_a_hold_that_lasts_adds_to_a_job_s_time_only_what_came_after_the_enqueueing(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    job = task("job", since=now_ms() - HOUR_MS, patience=3600)
    put_hold(house.redis, KEYS, "sms/refused", since=now_ms() - 8 * HOUR_MS, retry_at=now_ms() + HOUR_MS)
    claim = finish(ledger.claim(job, "t1"))
    assert claim.verb == "parked"
    assert job.deadline + HOUR_MS <= claim.deadline <= job.deadline + HOUR_MS + 5 * 60_000


@pytest.mark.parametrize("actor", ["add_contact", "create_group"])
def test_a_dead_worker_s_call_that_may_have_happened_is_read_back(
    house: House, ledger: Ledger, task: Callable[..., Task], actor: str
) -> None:
    """If the call were made again, it might be carried out twice."""
    job = task("job", actor)
    finish(ledger.claim(job, "t1"))
    if job.job.named:
        finish(ledger.renew(job, "t1", ["gro_0"]))
    house.redis.hset(ledger.record(job), "le", 1)
    assert finish(ledger.claim(job, "t2")).verb == "read_back"
    assert house.redis.hget(ledger.record(job), "s") == b"unknown"


@pytest.mark.parametrize(
    ("actor", "ends"), [("list_contacts", ("internal", None)), ("add_contact", ("unknown", b"unknown"))]
)
async def test_what_five_workers_died_with_only_ends(
    house: House,
    ledger: Ledger,
    task: Callable[..., Task],
    actor: str,
    ends: tuple[str, bytes | None],
) -> None:
    """Otherwise a job that kills its worker would kill one after the other. If its call may have left, nobody knows what the call did."""
    job = task("job", actor)
    finish(ledger.claim(job, "t1"))
    house.redis.hset(ledger.record(job), "le", 1)
    job.receipt = dataclasses.replace(job.receipt, deaths=5)
    means: Any = SimpleNamespace(
        gate=Gate(1),
        ledger=ledger,
        policy=LONG_POLICY,
        lease=lambda *_, **__: None,
        log_line=LogLine(),
    )
    assert await Attempt(means, job).run(await means.gate.enter("reads", frozenset(), None, 1))
    ((_, fields),) = house.redis.xrange(KEYS.events)
    error = json.loads(fields[b"event"])["data"]["error"]
    assert error["message"].startswith("5 worker processes")
    assert house.redis.zrange("dead", 0, -1) == [b"job"]
    assert (error["kind"], house.redis.hget(ledger.record(job), "s")) == ends


@pytest.mark.parametrize("actor", ["create_group", "list_contacts"])
def test_a_dead_worker_s_call_that_changed_nothing_is_made_again(
    house: House, ledger: Ledger, task: Callable[..., Task], actor: str
) -> None:
    """A group is created only once its baseline is noted: without a baseline, no listing could show which group is the job's."""
    job = task("job", actor)
    finish(ledger.claim(job, "t1"))
    house.redis.hset(ledger.record(job), "le", 1)
    claim = finish(ledger.claim(job, "t2"))
    assert (claim.verb, claim.attempts, claim.baseline) == ("call", 2, None)


@pytest.mark.parametrize(
    "settlement",
    [Waiting(), Lost(), Done(events=[], outcome="{}"), EndedUnknown(events=[], reason="{}")],
    ids=lambda settlement: settlement.op,
)
def test_a_record_does_not_run_out_while_it_is_asked_for(
    house: House, ledger: Ledger, task: Callable[..., Task], settlement: Settlement
) -> None:
    """A lost call that nobody remembers would be made again."""
    job = task("job")
    finish(ledger.claim(job, "t1"))
    finish(ledger.settle(job, "t1", settlement))
    house.redis.pexpire(ledger.record(job), 1000)
    again = dataclasses.replace(task("again"), key=job.key)
    finish(ledger.claim(again, "t2"))
    assert house.redis.pttl(ledger.record(job)) > HOUR_MS


@pytest.fixture
def jon_and_john(task: Callable[..., Task]) -> tuple[Task, Task]:
    """Two jobs with one number, two names, and no keys of their own."""
    number = {"idempotency_key": None, "phone": "+32470999999"}
    return task("jon", first_name="Jon", **number), task("john", first_name="John", **number)


@pytest.mark.parametrize("op", [Waiting, Lost])
def test_the_same_contact_waits_as_long_as_the_message_of_the_first_is_there(
    house: House, ledger: Ledger, jon_and_john: tuple[Task, Task], op: type[Waiting | Lost]
) -> None:
    jon, john = jon_and_john
    assert jon.key == john.key
    assert finish(ledger.claim(jon, "t1")).verb == "call"
    assert finish(ledger.claim(john, "t2")).reason == "busy"
    house.redis.sadd("acks", "john")
    finish(ledger.settle(jon, "t1", op()))
    assert finish(ledger.claim(john, "t2")).reason == "busy"
    house.redis.sadd("acks", "john")
    # An operator dropped the first message, so there is nothing to wait for.
    house.redis.hdel("bodies", "jon")
    assert finish(ledger.claim(john, "t2")).verb == ("call" if op is Waiting else "read_back")


@pytest.mark.parametrize(("word", "verb"), [("found", "conflict"), ("absent", "call")])
def test_a_first_contact_that_ended_as_unknown_is_read_back_for_the_second(
    house: House, ledger: Ledger, jon_and_john: tuple[Task, Task], word: str, verb: str
) -> None:
    jon, john = jon_and_john
    finish(ledger.claim(jon, "t1"))
    finish(ledger.settle(jon, "t1", EndedUnknown(events=[], reason="{}")))
    # This is how a lost call leaves its record if every look was undecided until the deadline.
    house.redis.hset(ledger.record(jon), mapping={"en": 1, "rb": 1})
    assert finish(ledger.claim(john, "t2")).verb == "read_back"
    _, [unknown] = finish(ledger.unknowns.of(john.listing))
    verdict = Verdict(unknown, word, {"contact_id": "con_1"})
    finish(ledger.unknowns.judge(john.listing, "t2", [verdict], Rests(0.001, 10, 60)))
    claim = finish(ledger.claim(john, "t2"))
    assert (claim.verb, claim.attempts, claim.reconciled) == (verb, int(verb == "call"), False)


def test_a_second_contact_whose_time_runs_out_leaves_the_record_to_the_first(
    ledger: Ledger, jon_and_john: tuple[Task, Task]
) -> None:
    jon, john = jon_and_john
    finish(ledger.claim(jon, "t1"))
    finish(ledger.settle(jon, "t1", Waiting(keep=True)))
    late = dataclasses.replace(john, since=now_ms() - 2 * HOUR_MS, patience=3600)
    claim = finish(ledger.claim(late, "t2"))
    assert (claim.verb, claim.owned) == ("expired", False)
    assert finish(ledger.claim(jon, "t3")).verb == "call"


def test_two_kinds_of_job_that_read_one_listing_do_not_judge_each_other_s_records(
    ledger: Ledger, task: Callable[..., Task]
) -> None:
    """Otherwise a kind that looks for something else would find nothing, and the other kind's call would be made again."""
    added = task("added")

    class RemoveContact(AddContact):
        """A made-up second kind of job."""

        actor = "remove_contact"

    job = RemoveContact.parse({"channel": "sms", "group_id": "gro_1", "phone": "+32470999999"})
    removed = dataclasses.replace(task("removed"), job=job)
    assert added.job.listing() == removed.job.listing()
    for number, lost in enumerate((added, removed)):
        finish(ledger.claim(lost, f"t{number}"))
        finish(ledger.settle(lost, f"t{number}", Lost()))
    for lost in (added, removed):
        _, unknowns = finish(ledger.unknowns.of(lost.listing))
        assert [unknown.record for unknown in unknowns] == [ledger.record(lost)]


def test_a_claim_that_must_wait_for_the_pace_leaves_nothing_behind(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """A record without a state has no lifetime either, and would stay for ever."""
    job = task("job")
    house.redis.hset(KEYS.pace, mapping={"tat": (now_ms() + 5000) * 1000})
    assert finish(ledger.claim(job, "t1")).verb == "paced"
    assert not house.redis.exists(ledger.record(job))


def test_no_key_of_one_s_own_is_the_name_of_a_listing_without_one(
    ledger: Ledger, task: Callable[..., Task]
) -> None:
    keyed = task("keyed", "list_contacts", idempotency_key="message:other")
    other = task("other", "list_contacts", idempotency_key=None)
    assert ledger.record(keyed) != ledger.record(other)


def test_a_name_whose_holder_is_gone_is_free(house: House, ledger: Ledger, task: Callable[..., Task]) -> None:
    """If an operator drops the holder's message, nothing else frees the name: it would stay taken for months."""
    first, second = task("first", "create_group"), task("second", "create_group")
    finish(ledger.claim(first, "t1"))
    finish(ledger.renew(first, "t1", []))
    house.redis.hset(ledger.record(first), "le", 1)
    assert finish(ledger.claim(second, "t2")).reason == "busy"
    house.redis.sadd("acks", "second")
    house.redis.hdel("bodies", "first")
    house.redis.delete(KEYS.pace)
    assert finish(ledger.claim(second, "t2")).verb == "call"


def test_what_was_looked_up_for_nobody_does_not_let_a_retry_call(
    house: House, ledger: Ledger, jon_and_john: tuple[Task, Task]
) -> None:
    """The API may have carried the call out since, so a retry must look for itself."""
    jon, _ = jon_and_john
    finish(ledger.claim(jon, "t1"))
    finish(ledger.settle(jon, "t1", Lost()))
    _, [unknown] = finish(ledger.unknowns.of(jon.listing))
    house.redis.hdel("bodies", "jon")
    finish(ledger.unknowns.judge(jon.listing, "t2", [Verdict(unknown, "absent")], Rests(1, 10, 60)))
    assert house.redis.hget(ledger.record(jon), "v") is None
