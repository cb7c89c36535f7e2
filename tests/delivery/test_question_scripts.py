"""A question that several jobs ask goes to the API once: what Redis keeps of it, and for how long."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from delivery import Ledger, Outcome, Task
from delivery import answer as answers
from delivery.job import Told
from delivery.settlement import (
    Done,
    Waiting,
)
from delivery.task import short_digest
from tests.harness.records import (
    COVER_MS,
    EVENT,
    KEYS,
    NOW_US,
    Make,
    record,
)
from tests.harness.still_clock import NOW, StillClock
from tests.harness.sync_ledger import LONG_POLICY, finish

WEBHOOK = "evt_" + "a" * 20


def asks(make: Make, name: str) -> Task:
    return make(name, "verify_webhook", payload={"id": WEBHOOK, "type": "coupon_claimed", "n": name})


def question(still: StillClock) -> tuple[dict[str, str], dict[str, float]]:
    told: dict[str, dict[str, Any]] = still.all()
    [by_told] = [value for key, value in told.items() if key.startswith("coupontools:told:")] or [{}]
    [by_asking] = [value for key, value in told.items() if key.startswith("coupontools:asking:")] or [{}]
    return by_told, by_asking


def key_of(still: StillClock, kind: str) -> str:
    [key] = [key for key in still.all() if key.startswith(f"coupontools:{kind}:")]
    return key


def test_who_asks_what_is_being_asked_waits_for_the_answer(
    still: StillClock, still_ledger: Ledger, claimed: Make, still_task: Make
) -> None:
    asks(claimed, "first")
    until = NOW + COVER_MS
    assert question(still) == ({"token": "t1", "began": str(NOW_US), "until": str(until)}, {})
    assert still.lives(key_of(still, "told"), COVER_MS + 120_000)
    second = asks(still_task, "second")
    still.now = NOW + 5
    assert finish(still_ledger.claim(second, "t2")).reason == "busy"
    assert question(still)[1] == {"second": NOW_US + 5000}
    assert still.lives(key_of(still, "asking"), 600_000)
    # The moment at which it first asked is kept.
    still.redis.sadd("acks", "second")
    still.now = NOW + 6
    finish(still_ledger.claim(second, "t2"))
    assert question(still)[1] == {"second": NOW_US + 5000}


@pytest.mark.parametrize(("until", "asked"), [(1, True), (0, False), (None, True)])
def test_a_question_whose_time_is_over_or_cannot_be_is_put_again(
    still: StillClock,
    still_ledger: Ledger,
    claimed: Make,
    still_task: Make,
    until: int | None,
    *,
    asked: bool,
) -> None:
    asks(claimed, "first")
    horizon = round(dataclasses.replace(LONG_POLICY, rate=10).horizon_ms)
    still.redis.hset(key_of(still, "told"), "until", NOW + (COVER_MS + horizon if until is None else until))
    second = asks(still_task, "second")
    assert (finish(still_ledger.claim(second, "t2")).verb == "deferred") is asked
    if until is None:
        still.redis.hset(key_of(still, "told"), "until", NOW + COVER_MS + horizon + 1)
        still.redis.sadd("acks", "second")
        assert finish(still_ledger.claim(second, "t2")).verb == "call"


def test_an_answer_that_lasts_serves_everybody_for_a_minute(
    still: StillClock, still_ledger: Ledger, claimed: Make, still_task: Make
) -> None:
    first, second = asks(claimed, "first"), asks(still_task, "second")
    finish(still_ledger.claim(second, "t2"))
    finish(still_ledger.settle(first, "t1", Done(events=[EVENT], told='{"record":1}', lasts=True)))
    told, _ = question(still)
    assert told == {"known": '{"record":1}', "known_until": str(NOW + 60_000)}
    assert still.lives(key_of(still, "told"), 120_000)
    # The job that waits is woken.
    assert still.all()["delayed"] == {"second": NOW}
    for ahead, word in ((0, "call"), (1, "told"), (60_000, "told"), (60_001, "call")):
        still.redis.sadd("acks", "second")
        still.redis.delete(KEYS.pace)
        still.redis.hset(key_of(still, "told"), mapping={"known": '{"record":1}', "known_until": NOW + ahead})
        claim = finish(still_ledger.claim(second, "t3"))
        assert (claim.verb, claim.evidence) == (word, b'{"record":1}' if word == "told" else b"")
        still.redis.hdel(key_of(still, "told"), "token")
        still.redis.delete(still_ledger.record(second))


def test_what_the_api_does_not_know_serves_who_waited_before_it_was_asked(
    still: StillClock, still_ledger: Ledger, claimed: Make, still_task: Make
) -> None:
    first = asks(claimed, "first")
    waits, came = asks(still_task, "waits"), asks(still_task, "came")
    still.redis.zadd(
        KEYS.asking(short_digest(first.job.question or "")), {"waits": NOW_US - 1, "came": NOW_US}
    )
    finish(still_ledger.settle(first, "t1", Done(events=[EVENT], told='{"record":null}')))
    assert question(still)[0] == {"denied": '{"record":null}', "denied_began": str(NOW_US)}
    still.redis.delete(KEYS.pace)
    assert finish(still_ledger.claim(waits, "t2")).verb == "told"
    # `waits` does not wait any more.
    assert question(still)[1] == {"came": NOW_US}
    assert record(still, still_ledger, waits)["state"] == "waiting"
    assert finish(still_ledger.claim(came, "t3")).verb == "call"
    assert question(still)[1] == {}


def test_only_whose_question_it_is_tells_the_answer(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    first = asks(claimed, "first")
    still.redis.hset(key_of(still, "told"), "token", "t2")
    before = question(still)
    finish(still_ledger.settle(first, "t1", Done(events=[EVENT], told="{}", lasts=True)))
    assert question(still) == before


def test_a_question_that_was_not_answered_is_free_again(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    first = asks(claimed, "first")
    finish(still_ledger.settle(first, "t1", Waiting()))
    assert question(still) == ({}, {})


def test_two_hundred_who_wait_are_woken_at_once(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    first = asks(claimed, "first")
    ids = {f"w{number:03d}": NOW_US + number for number in range(201)}
    still.redis.zadd(KEYS.asking(short_digest(first.job.question or "")), ids)
    still.redis.zadd("delayed", dict.fromkeys(ids, NOW + 5000))
    still.redis.zrem("delayed", "w000")
    finish(still_ledger.settle(first, "t1", Done(events=[EVENT], told="{}", lasts=True)))
    due = still.all()["delayed"]
    assert [name for name, at in due.items() if at == NOW] == [f"w{number:03d}" for number in range(1, 200)]
    assert due["w200"] == NOW + 5000
    assert "w000" not in due, "it is under way, and does not wait in Redis"


@pytest.mark.parametrize(("size", "kept"), [(65_536, True), (65_537, False)])
def test_an_answer_that_is_too_long_is_kept_for_nobody(still_task: Make, size: int, *, kept: bool) -> None:
    evidence = {"x": "y" * (size - len('{"x":""}'))}
    outcome = Outcome("webhook.verified", {}, told=Told(evidence, lasts=True))
    settlement = answers.done(still_task("job"), outcome, answers.Progress())
    assert (settlement.told is not None) is kept
