"""What an attempt does with a listing, to read back a lost call or to note the baseline before a call."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from actors.create_group import CreateGroup
from coupontools import Call, Coupontools, NotCarriedOut
from delivery import Outcome, Task, Unknown, Verdict, cancelling
from delivery.attempt import Attempt
from delivery.lease import LeaseLost, OutOfTime
from delivery.means import Means
from delivery.read_back import ReadBack
from delivery.retry import Backoff
from tests.harness.attempts import Lines, Scripted, attempt, event
from tests.harness.records import KEYS, Make, holds, pause, put_record, record
from tests.harness.still_clock import NOW, StillClock
from tests.harness.sync_ledger import LONG_POLICY


def lost(still: StillClock, means: Means, task: Task, ended: int = NOW - 9000) -> str:
    put_record(still, means.ledger, task, s="unknown", en=ended, rb=NOW, cl=NOW - 20_000, m=task.message_id)
    key = means.ledger.record(task)
    still.redis.zadd(KEYS.unknown(task.listing), {key: NOW})
    return key


async def test_a_listing_that_tells_of_a_lost_call_lets_it_claim_again(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job()
    lost(still, means, task)
    _, ended = await attempt(means, task)
    assert ended is False
    found = record(still, means.ledger, task)
    assert (found["verdict"], found["reconciled"], json.loads(found["evidence"])) == (
        "found",
        "1",
        {"contact_id": "con_1"},
    )
    # A listing counts as a call. It then rests for a third of the time that lost calls wait.
    assert (lines.calls, lines.listings, task.cost.api_calls) == (1, 1, 1)
    assert still.all()[KEYS.reader(task.listing)] == "rest"
    assert still.redis.pttl(KEYS.reader(task.listing)) <= 2334
    assert "well:sms/read_back" in still.all()[KEYS.troubles]
    assert (await attempt(means, task))[1] is True
    assert event(still)["data"]["reconciled"] is True


async def test_a_listing_that_could_not_be_read_is_asked_for_later(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job(NotCarriedOut("slowly", status=429, retry_after=60.0))
    key = lost(still, means, task)
    _, ended = await attempt(means, task)
    assert ended is False
    found = record(still, means.ledger, task)
    assert (found["state"], found["looks"], found["why"]) == ("unknown", "1", "slowly (HTTP 429)")
    assert still.all()[KEYS.unknown(task.listing)] == {key: NOW + 60_000}
    assert lines.listings == 1
    assert json.loads(still.all()[KEYS.holds]["account/asked"])["length"] == 60_000


async def test_without_room_for_a_listing_a_lost_call_waits(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job()
    lost(still, means, task)
    tried = Attempt(means, task)
    ticket = await means.gate.enter(task.queue, task.holds, None, 3600)
    with means.gate.one_listing() as is_room:
        assert is_room
        # There was room when the job asked for a claim, and there is none when the claim returns.
        tried.claim = await means.ledger.claim(task, tried.token)
        assert tried.claim.verb == "read_back"
        assert await tried._read_back() is True
    ticket.claimed()
    assert still.all()["delayed"] == {"job": NOW + 500}
    assert lines.listings == 0
    assert still.all()[KEYS.reader(task.listing)] == "rest"


@pytest.mark.parametrize(
    ("ended", "word"), [(NOW - 7001, "absent"), (NOW - 7000, "absent"), (NOW - 6999, "undecided")]
)
async def test_what_is_not_there_yet_may_still_come(
    still: StillClock, means: Means, job: Callable[..., Task], ended: int, word: str
) -> None:
    """The API may still be at work on a call whose answer was lost a moment before the listing began."""
    task = job()
    lost(still, means, task, ended)
    read_back = ReadBack(means.ledger, means.api, means.policy, task, "t1")
    await read_back.find_waiting()
    assert read_back.message_ids == ["job"]

    async def absent(_: Any, __: Any, unknowns: list[Unknown], ___: Any) -> Any:
        for unknown in unknowns:
            yield Verdict(unknown, "absent")

    kind = type("Absent", (Scripted,), {"read_back": staticmethod(absent)})
    task.job = kind.model_validate(task.job.model_dump())
    [verdict] = await read_back.read(task.call())
    assert verdict.word == word
    assert (await read_back.tell([verdict]) == [verdict]) is (word == "absent")


@pytest.mark.parametrize(
    ("answers", "word", "told"),
    [
        # The first one may have been left over on the connection.
        (1, "absent", "absent"),
        (2, "absent", "undecided"),
        (3, "absent", "undecided"),
        (2, "found", "found"),
    ],
)
async def test_where_the_api_answers_twice_about_another_no_further_call_is_made(
    still: StillClock, means: Means, job: Callable[..., Task], answers: int, word: Any, told: str
) -> None:
    """Otherwise the job would add its contact again and again, under a number that it does not look for."""
    task = job()
    lost(still, means, task)
    still.redis.hset(means.ledger.record(task), "an", answers)
    read_back = ReadBack(means.ledger, means.api, means.policy, task, "t1")
    await read_back.find_waiting()

    async def judged(_: Any, __: Any, unknowns: list[Unknown], ___: Any) -> Any:
        for unknown in unknowns:
            yield Verdict(unknown, word)

    kind = type("Judged", (Scripted,), {"read_back": staticmethod(judged)})
    task.job = kind.model_validate(task.job.model_dump())
    verdicts = await read_back.read(task.call())
    assert [verdict.word for verdict in verdicts] == [told]
    await read_back.tell(verdicts)
    why = record(still, means.ledger, task).get("why", "")
    assert why.startswith("the API answered twice about another") is (told == "undecided")


@pytest.mark.parametrize(
    ("word", "due", "told", "decides"),
    [
        ("found", True, ["found"], True),
        # Before its next look is due, only `found` counts for a call.
        ("found", False, ["found"], True),
        ("absent", True, ["absent"], True),
        ("absent", False, [], False),
        ("undecided", True, ["undecided"], False),
        ("undecided", False, [], False),
    ],
)
async def test_who_is_not_due_yet_is_told_only_what_was_found(
    still: StillClock,
    means: Means,
    job: Callable[..., Task],
    word: Any,
    told: list[str],
    *,
    due: bool,
    decides: bool,
) -> None:
    task = job()
    lost(still, means, task)
    read_back = ReadBack(means.ledger, means.api, means.policy, task, "t1")
    await read_back.find_waiting()

    async def judged(_: Any, __: Any, unknowns: list[Unknown], ___: Any) -> Any:
        for unknown in unknowns:
            yield Verdict(dataclasses.replace(unknown, due=due), word)

    kind = type("Judged", (Scripted,), {"read_back": staticmethod(judged)})
    task.job = kind.model_validate(task.job.model_dump())
    verdicts = await read_back.read(task.call())
    assert [verdict.word for verdict in verdicts] == told
    assert [verdict.word for verdict in await read_back.tell(verdicts)] == ([word] if decides else [])


async def test_a_hundred_who_wait_are_named(
    still: StillClock, means: Means, job: Callable[..., Task]
) -> None:
    task = job()
    lost(still, means, task)
    read_back = ReadBack(means.ledger, means.api, means.policy, task, "t1")
    assert read_back.message_ids == []
    await read_back.find_waiting()
    read_back._waiting *= 101
    assert read_back.message_ids == ["job"] * 100


@pytest.mark.parametrize(
    ("lost_at", "retry_after", "pause_ms", "rest_ms"),
    [
        # The call waits as long as lost calls do, and the listing rests for a third of that.
        (NOW - 9000, None, 7000, 2333),
        (NOW - 9000, 5.0, 7000, 5000),
        (NOW - 9000, 60.0, 60_000, 60_000),
        # An hour at most.
        (NOW - 9000, 99_999.0, 3_600_000, 3_600_000),
        # The job looked up the calls of others, and has no lost call of its own.
        (None, 60.0, 0, 60_000),
    ],
)
async def test_a_listing_that_told_nothing_is_left_alone_for_as_long_as_the_api_asked(
    still: StillClock, means: Means, job: Callable[..., Task], lost_at: int | None, retry_after: float | None,
    pause_ms: int, rest_ms: int,
) -> None:  # fmt: skip
    means = dataclasses.replace(
        means, policy=dataclasses.replace(means.policy, backoff=Backoff(2.0, 36_000.0))
    )
    task = job()
    key = lost(still, means, task)
    still.redis.set(KEYS.reader(task.listing), "t1")
    read_back = ReadBack(means.ledger, means.api, means.policy, task, "t1")
    await read_back.give_up(lost_at, retry_after, "why not")
    assert still.all()[KEYS.unknown(task.listing)] == {key: NOW + pause_ms}
    assert still.lives(KEYS.reader(task.listing), rest_ms)
    assert record(still, means.ledger, task).get("why") == ("why not" if lost_at else None)


@pytest.mark.parametrize("error", [OutOfTime(), LeaseLost()])
async def test_a_listing_that_was_given_up_is_asked_for_later_and_says_nothing_of_the_account(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task], error: Exception
) -> None:
    task = job(error)
    key = lost(still, means, task)
    with capture_logs() as told:
        _, ended = await attempt(means, task)
    assert ended is False
    assert still.all()[KEYS.unknown(task.listing)] == {key: NOW + 7000}
    assert "why" not in record(still, means.ledger, task)
    assert KEYS.troubles not in still.all()
    assert (lines.calls, lines.listings, task.cost.api_calls) == (0, 1, 0)
    [line] = [line for line in told if line["event"] == "read_back.given_up"]
    assert (line["reason"], line["message_ids"]) == (type(error).__name__, ["job"])


async def test_a_group_s_baseline_is_noted_before_its_call_or_it_waits_for_room(
    still: StillClock, still_task: Make, means: Means
) -> None:
    class Group(CreateGroup):
        """Its listing shows one group of the name."""

        async def baseline(self, api: Coupontools, call: Call) -> list[str]:
            return ["gro_1"]

        async def call(self, api: Coupontools, call: Call) -> Outcome:
            assert record(still, means.ledger, task)["baseline"] == '["gro_1"]'
            return Outcome("group.created", {"name": "Pizza"}, claims="gro_2")

    task = still_task("job", "create_group")
    task.job = Group.model_validate(task.job.model_dump())
    with means.gate.one_listing():
        assert (await attempt(means, task))[1] is True
    assert (still.all()["delayed"], record(still, means.ledger, task)["attempts"]) == (
        {"job": NOW + 500},
        "0",
    )
    still.redis.sadd("acks", "job")
    still.redis.delete("delayed")
    assert (await attempt(means, task))[1] is True
    assert still.all()[KEYS.claimed("sms", "gro_2")] == {"gro_2"}


@pytest.mark.parametrize("stop", ["message", "batch", "pause", "deadline"])
async def test_a_group_whose_job_was_stopped_while_its_baseline_was_read_is_not_created(
    still: StillClock, still_task: Make, means: Means, stop: str
) -> None:
    """`cancel` and `pause` promise that no new call begins; otherwise this one would begin minutes later, when the listing has ended."""

    class Group(CreateGroup):
        """The job is stopped while its listing is read."""

        async def baseline(self, api: Coupontools, call: Call) -> list[str]:
            if stop == "pause":
                pause(still)
            elif stop == "deadline":
                still.now = task.deadline
            else:
                of = {"messages": ["job"]} if stop == "message" else {"batch_id": "spring"}
                still.ask(*cancelling(KEYS, LONG_POLICY, **of))  # type: ignore[arg-type]
            return []

        async def call(self, api: Coupontools, call: Call) -> Outcome:
            raise AssertionError("it was stopped")

    task = still_task("job", "create_group", batch_id="spring")
    task.job = Group.model_validate(task.job.model_dump())
    assert (await attempt(means, task))[1] is False
    before = record(still, means.ledger, task)
    assert (before["state"], before["attempts"], "baseline" in before) == ("waiting", "0", False)
    assert (await attempt(means, task))[1] is True
    if stop == "pause":
        assert still.all()[f"{KEYS.parked}:sms/paused|groups|sms/create_group"] == {"job": task.since}
    else:
        told = event(still)["data"]
        ended = "expired" if stop == "deadline" else "cancelled"
        assert (told["error"]["kind"], told["attempts"]) == (ended, 0)


async def test_the_probe_of_a_hold_goes_on_after_its_baseline(
    still: StillClock, still_task: Make, means: Means
) -> None:
    class Group(CreateGroup):
        """Its listing shows no group of the name."""

        async def baseline(self, api: Coupontools, call: Call) -> list[str]:
            assert holds(still)["sms/refused"]["probe"]
            return []

        async def call(self, api: Coupontools, call: Call) -> Outcome:
            return Outcome("group.created", {"name": "Pizza"}, claims="gro_2")

    refused = {
        "scope": "sms", "kind": "refused", "code": 103, "message": "no", "worker": "w", "since": NOW - 9000, "retry_at": NOW,
        "interval": 1000, "call": "sms/create_group", "probe": "", "about": "x", "lost": False,
    }  # fmt: skip
    still.redis.hset(KEYS.holds, "sms/refused", json.dumps(refused))
    task = still_task("job", "create_group")
    task.job = Group.model_validate(task.job.model_dump())
    assert (await attempt(means, task))[1] is True
    # Its success ended the hold.
    assert KEYS.holds not in still.all()
