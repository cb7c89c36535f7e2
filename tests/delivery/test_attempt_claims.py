"""What an attempt does when its claim does not return `call`."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from coupontools import Call, Coupontools, NotSent
from delivery import Gate, Ledger, Outcome, Task
from delivery import answer as answers
from delivery.means import Means
from delivery.task import short_digest
from tests.harness.attempts import ADDED, POLICY, Lines, Scripted, attempt, event, only
from tests.harness.holds import put_hold
from tests.harness.records import KEYS, Make, put_record, put_worker, record
from tests.harness.still_clock import NOW, StillClock


async def test_a_message_under_a_used_id_is_set_aside(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job()
    still.redis.hset("bodies", "job", "the body")
    still.redis.set(KEYS.answered("job"), "+another")
    _, ended = await attempt(means, task)
    assert ended is True
    told = event(still)
    assert (told["type"], told["id"]) == ("coupontools.message.rejected", "contacts/job")
    assert told["data"] == {
        "queue": "contacts",
        "redis_message_id": "job",
        "reason": answers.USED_ID,
        "raw": "the body",
    }
    assert still.all()["dead.b"] == {"job": "the body"}
    assert (lines.rejected, lines.lines) == (["contacts"], [])


@pytest.mark.parametrize(
    ("fields", "patience", "cancelled", "kind", "message"),
    [
        ({"s": "done", "fp": "another", "o": "{}"}, 3600, False, "conflict", answers.CONFLICT.message),
        ({"s": "waiting"}, 3600, True, "cancelled", answers.CANCELLED.message),
        ({"s": "waiting"}, 60, False, "expired", answers.EXPIRED.message),
        (
            {"s": "waiting", "w": "no connection"},
            60,
            False,
            "expired",
            f"{answers.EXPIRED.message}; last reason: no connection",
        ),
        (
            {"s": "unknown", "en": 5, "w": "why"},
            60,
            False,
            "unknown",
            f"{answers.UNKNOWN.message}; last reason: why",
        ),
    ],
)
async def test_a_job_that_ends_without_a_call_is_told_why(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task], fields: dict[str, Any], patience: float,
    kind: str, message: str, *, cancelled: bool,
) -> None:  # fmt: skip
    task = job(patience=patience)
    put_record(still, means.ledger, task, **fields)
    if cancelled:
        still.redis.hset(KEYS.cancelled, "m:job", str(NOW))
    _, ended = await attempt(means, task)
    assert ended is True
    error = event(still)["data"]["error"]
    assert (error["kind"], error["message"]) == (kind, message)
    assert only(lines)[0] == "failed"
    assert lines.calls == 0
    assert ("dead" in still.all()) is (kind not in {"conflict", "cancelled"})
    # Another job's record is left as it is.
    assert (record(still, means.ledger, task).get("state") == "done") is (kind == "conflict")


@pytest.mark.parametrize(
    ("state", "kind", "failure"),
    [("waiting", "internal", answers.WORN), ("unknown", "unknown", answers.WORN_UNKNOWN)],
)
async def test_what_workers_died_with_is_told_as_that(
    still: StillClock, means: Means, job: Callable[..., Task], state: str, kind: str, failure: answers.Failure
) -> None:
    task = job()
    task.receipt = dataclasses.replace(task.receipt, deaths=5)
    put_record(still, means.ledger, task, s=state)
    await attempt(means, task)
    error = event(still)["data"]["error"]
    assert (error["kind"], error["message"]) == (kind, failure.message)


async def test_a_lost_call_that_was_found_is_answered_as_reconciled(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job()
    put_record(still, means.ledger, task, s="unknown", v="found", ev='{"contact_id":"con_7"}', n=2)
    _, ended = await attempt(means, task)
    assert ended is True
    told = event(still)
    assert (told["subject"], told["data"]["attempts"], told["data"]["reconciled"]) == ("con_7", 2, True)
    assert (only(lines)[0], only(lines)[1]["reconciled"], lines.calls) == ("succeeded", True, 0)


async def test_what_the_api_told_another_job_answers_this_one_without_a_call(
    still: StillClock, means: Means, lines: Lines, still_task: Make
) -> None:
    task = still_task("job", "verify_webhook", webhook_id="evt_01234567890123456789")
    told = KEYS.told(short_digest(str(task.job.question)))
    still.redis.hset(told, mapping={"known": '{"record":null}', "known_until": NOW + 1000})
    _, ended = await attempt(means, task)
    assert ended is True
    answer = event(still)
    assert (answer["type"], answer["data"]["reason"]) == ("coupontools.webhook.rejected", "not_found")
    assert (only(lines)[0], lines.calls) == ("succeeded", 0)
    # The API may know the webhook later, so this answer is not remembered.
    assert record(still, means.ledger, task) == {}


@pytest.mark.parametrize("api_calls", [0, 1])
async def test_what_leaves_without_an_answer_has_a_line_if_anything_was_called(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task], api_calls: int
) -> None:
    task = job()
    task.cost.api_calls = api_calls
    put_record(still, means.ledger, task, s="running", t="another", cl=NOW - 1000, le=NOW + 9000)
    _, ended = await attempt(means, task)
    assert ended is True
    assert len(lines.lines) == api_calls
    if api_calls:
        assert (only(lines)[0], only(lines)[1]["retry_in_ms"], only(lines)[1]["error"]) == (
            "retrying",
            1005,
            "busy",
        )


async def test_a_claim_that_is_parked_tells_the_gate_and_one_that_is_paced_comes_back(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    put_hold(still.redis, KEYS, "sms/refused", retry_at=NOW + 5000)
    task = job()
    task.cost.api_calls = 1
    assert (await attempt(means, task))[1]
    assert only(lines)[0] == "held"
    assert means.gate.holds_up(task.holds) == "sms/refused"
    means.gate.release()
    still.redis.flushall()
    put_hold(still.redis, KEYS, "account/asked", retry_at=NOW + 5000, length=5000)
    assert (await attempt(means, job()))[1] is False
    # The gate lets nobody in before the pause is over.
    waiting = asyncio.create_task(means.gate.enter("contacts", frozenset(), None, 3600))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


@pytest.mark.parametrize(
    ("name", "fields", "pace", "told", "left"),
    [
        ("sms/refused", {"retry_at": NOW + 5000}, {}, ("hold", "sms/refused"), True),
        ("account/refused/mine", {"secret": "mine", "any": True, "retry_at": NOW + 50_000}, {}, ("bench", 50.0), True),
        ("account/asked", {"retry_at": NOW + 5000, "length": 5000}, {}, ("pace", 5.0, "contacts", ""), False),
        # A slot that is too far ahead to be reserved, and the turn of another lane.
        (None, {}, {"tat": (NOW + 700) * 1000}, ("pace", 0.5, "contacts", ""), False),
        (
            None,
            {},
            {"turn": 2, "p:contacts": 3, "p:reads": 2.5, "w:reads": NOW + 9},
            ("pace", 0.1, "contacts", "reads"),
            False,
        ),
    ],
)  # fmt: skip
async def test_what_keeps_a_claim_waiting_is_told_to_the_gate_in_seconds(
    still: StillClock, means: Means, job: Callable[..., Task], monkeypatch: pytest.MonkeyPatch, name: str | None,
    fields: dict[str, Any], pace: dict[str, Any], told: tuple[Any, ...], *, left: bool,
) -> None:  # fmt: skip
    policy = dataclasses.replace(POLICY, secret="mine", rate=10)
    means = dataclasses.replace(means, ledger=Ledger(still, KEYS, policy), policy=policy)
    for each in ("mine", "other"):
        put_worker(still, each, each)
    if name:
        put_hold(still.redis, KEYS, name, **fields)
    if pace:
        still.redis.hset(KEYS.pace, mapping=pace)
    heard: list[tuple[Any, ...]] = []
    for word in ("hold", "bench", "pace"):
        monkeypatch.setattr(means.gate, word, lambda *given, word=word: heard.append((word, *given)))
    task = job()
    _, ended = await attempt(means, task)
    assert heard == [(*told, task.holds) if told[0] == "hold" else told]
    assert ended is left


async def test_while_a_job_calls_the_next_may_claim(
    still: StillClock, means: Means, job: Callable[..., Task]
) -> None:
    means = dataclasses.replace(means, gate=Gate(2, claims=1))
    entered: list[str] = []

    class Slow(Scripted):
        """While its call is under way, another job enters."""

        async def call(self, api: Coupontools, call: Call) -> Outcome:
            async with asyncio.timeout(60):
                ticket = await means.gate.enter("contacts", frozenset(), None, 3600)
            with means.gate.inside(ticket):
                entered.append(ticket.lane)
            return ADDED

    task = job()
    task.job = Slow.model_validate(task.job.model_dump())
    await attempt(means, task)
    assert entered == ["contacts"]


async def test_how_many_attempts_a_message_had_is_known_when_it_leaves_without_a_claim_of_its_own(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job(NotSent("no connection"))
    put_record(still, means.ledger, task, s="waiting", n=3)
    await attempt(means, task)
    assert task.attempts == 4
    # The next claim does not return the number of attempts.
    still.redis.sadd("acks", "job")
    put_record(still, means.ledger, task, s="running", t="another", cl=NOW - 1000, le=NOW + 9000)
    task.cost.api_calls = 1
    await attempt(means, task)
    assert (task.attempts, lines.lines[-1][1]["attempt"]) == (4, 4)


@pytest.mark.parametrize(
    ("prepare", "outcome", "error"),
    [
        (lambda still, _: still.redis.srem("acks", "job"), "interrupted", "gone"),
        (lambda still, task: still.redis.set(KEYS.answered("job"), f"+{task.asked}"), "interrupted", "answered"),
        (
            lambda still, _: put_hold(still.redis, KEYS, "sms/refused", retry_at=NOW + 5000),
            "held",
            "parked",
        ),
    ],
)  # fmt: skip
async def test_what_leaves_for_no_reason_of_its_own_is_told_by_the_claim_s_word(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task], prepare: Callable[..., Any],
    outcome: str, error: str,
) -> None:  # fmt: skip
    task = job()
    task.cost.api_calls = 1
    prepare(still, task)
    _, ended = await attempt(means, task)
    assert ended is True
    assert (only(lines)[0], only(lines)[1]["error"]) == (outcome, error)
    assert "retry_in_ms" not in only(lines)[1]


async def test_a_remembered_listing_whose_pages_are_gone_fails_and_keeps_its_record(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job()
    put_record(still, means.ledger, task, s="done", o='{"event":"contacts.listed","pages":2,"subject":null}')
    still.redis.rpush(KEYS.pages("add_contact", task.digest), '{"page":1}')
    _, ended = await attempt(means, task)
    assert ended is True
    error = event(still)["data"]["error"]
    assert (error["kind"], error["message"]) == ("internal", answers.PAGES_GONE.message)
    assert record(still, means.ledger, task)["state"] == "done"
    assert only(lines)[0] == "failed"


async def test_a_remembered_listing_is_answered_page_by_page(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job()
    put_record(
        still, means.ledger, task, s="done", o='{"event":"contacts.listed","pages":2,"subject":"gro_1"}'
    )
    still.redis.rpush(KEYS.pages("add_contact", task.digest), '{"page":1}', '{"page":2}')
    _, ended = await attempt(means, task)
    assert ended is True
    told = [json.loads(each["event"]) for each in still.all()[KEYS.events]]
    assert [(each["id"], each["subject"], each["data"]["page"]) for each in told] == [
        ("job/1", "gro_1", 1),
        ("job/2", "gro_1", 2),
    ]
    assert {each["data"]["replayed"] for each in told} == {True}
    assert only(lines)[0] == "replayed"


async def test_a_claim_that_is_benched_keeps_its_process_from_taking_more(
    still: StillClock, still_task: Make, means: Means, job: Callable[..., Task]
) -> None:
    policy = dataclasses.replace(POLICY, secret="mine")
    means = Means(Ledger(still, KEYS, policy), means.api, means.gate, policy, means.log_line)
    for name in ("mine", "other"):
        still.redis.hset(KEYS.workers, name, json.dumps({"secret": name, "silence_ms": 1000}))
        still.redis.zadd(KEYS.heartbeats, {name: NOW})
    put_hold(still.redis, KEYS, "account/refused/mine", secret="mine", any=True, retry_at=NOW + 50_000)
    assert (await attempt(means, job()))[1]
    assert means.gate.is_benched
