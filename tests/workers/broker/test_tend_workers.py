"""What tend.lua gives back to the queues of dead workers and of stock brokers."""

from __future__ import annotations

import json

import pytest

from tests.harness.still_clock import NOW, StillClock
from tests.harness.tending import (
    ALONE,
    BULK,
    DAY_MS,
    KEYS,
    READS,
    SILENCE_MS,
    put,
    tend,
    worker,
)


def test_what_a_dead_worker_had_goes_back_to_its_queue(still: StillClock) -> None:
    worker(still, "dead", NOW - SILENCE_MS, "a")
    worker(still, "dead", NOW - SILENCE_MS, "b", queue="bulk")
    still.redis.sadd(KEYS.acks("dead", "reads"), "answered")
    still.redis.sadd(f"{KEYS.acks('dead', 'reads')}.DQ", "stock")
    still.redis.hset(READS.stock_delayed_bodies, "stock", "{}")
    still.redis.hset(KEYS.suspects, "dead", "5|reads|other")
    put(still, "r")
    told = tend(still)
    [[name, count, names]] = told["dead"]
    assert (name, count, sorted(names)) == ("dead", 4, ["answered", "m-a", "m-b", "stock"])
    assert told["astray"] == []
    found = still.all()
    assert {name: found[name] for name in (KEYS.heartbeats, KEYS.workers)} == {
        name: ALONE[name] for name in (KEYS.heartbeats, KEYS.workers)
    }
    assert (found[READS.ready], found[BULK.ready], found[READS.stock_delayed]) == (
        ["a", "r"],
        ["b"],
        ["stock"],
    )
    assert (found[READS.deaths], found[BULK.deaths]) == ({"a": "1"}, {"b": "1"})
    assert KEYS.suspects not in found
    assert not any("__acks__" in key for key in found)


@pytest.mark.parametrize(
    ("seen", "about", "silence", "sent_at", "dies"),
    [
        (NOW - SILENCE_MS, "{}", SILENCE_MS, NOW, True),
        (NOW - SILENCE_MS + 1, "{}", SILENCE_MS, NOW, False),
        # The slower of the two settings counts.
        (NOW - SILENCE_MS, '{"silence_ms":1001}', SILENCE_MS, NOW, False),
        (NOW - SILENCE_MS, "no JSON", SILENCE_MS, NOW, True),
        (NOW - SILENCE_MS, "7", SILENCE_MS, NOW, True),
        # This look must not take over anything.
        (1, "{}", 0, NOW, False),
        # Redis was frozen meanwhile, and finds every worker silent.
        (1, "{}", SILENCE_MS, NOW - 500, True),
        (1, "{}", SILENCE_MS, NOW - 501, False),
    ],
)
def test_a_worker_is_dead_after_its_silence(
    still: StillClock, seen: int, about: str, silence: int, sent_at: int, *, dies: bool
) -> None:
    worker(still, "other", seen, "a", about=about)
    assert (tend(still, silence=silence, sent_at=sent_at)["dead"] == [["other", 1, ["m-a"]]]) is dies
    assert (KEYS.acks("other", "reads") in still.all()) is not dies


def test_a_worker_whose_heartbeat_was_taken_away_is_silent_from_here_on(still: StillClock) -> None:
    worker(still, "other", None, "a")
    assert tend(still)["dead"] == []
    assert still.all()[KEYS.heartbeats] == {"w1": NOW, "other": NOW}


@pytest.mark.parametrize(
    ("trial", "deaths"),
    [
        (None, {"a": "1", "b": "1"}),
        # The worker tried this message alone, so the others have nothing to do with its death.
        ("5|reads|a", {"a": "1"}),
        # The worker kept itself free for a message that it had not begun to try.
        ("5|reads|z", {"a": "1", "b": "1"}),
        ("strange", {"a": "1", "b": "1"}),
    ],
)
def test_each_message_of_a_dead_worker_may_be_what_killed_it(
    still: StillClock, trial: str | None, deaths: dict[str, str]
) -> None:
    worker(still, "dead", 1, "a", "b")
    if trial:
        still.redis.hset(KEYS.suspects, "dead", trial)
    tend(still)
    assert still.all()[READS.deaths] == deaths
    assert sorted(still.all()[READS.ready]) == ["a", "b"]


def test_queues_that_only_the_dead_worker_knew_get_theirs_back(still: StillClock) -> None:
    worker(still, "dead", 1, about=json.dumps({"queues": ["reads", "newer", 7]}))
    still.redis.sadd(KEYS.acks("dead", "newer"), "a")
    still.redis.sadd(f"{KEYS.acks('dead', 'newer')}.DQ", "b")
    still.redis.hset("dramatiq:newer.msgs", "a", "{}")
    still.redis.hset("dramatiq:newer.DQ.msgs", "b", "{}")
    assert tend(still)["dead"][0][:2] == ["dead", 2]
    found = still.all()
    assert (found["dramatiq:newer"], found["dramatiq:newer.DQ"]) == (["a"], ["b"])


def test_a_queue_whose_key_is_something_else_holds_up_no_other(still: StillClock) -> None:
    worker(still, "dead", 1, "a")
    worker(still, "dead", 1, "b", queue="bulk")
    still.redis.set(READS.ready, "something else")
    told = tend(still)
    assert "WRONGTYPE" in told["problem"]
    # The worker stays registered until everything it had is given back.
    assert told["dead"] == []
    found = still.all()
    assert found[BULK.ready] == ["b"]
    assert "dead" in found[KEYS.workers]
    still.redis.delete(READS.ready)
    assert tend(still)["dead"] == [["dead", 1, ["m-a"]]]


@pytest.mark.parametrize(("size", "named"), [(16_384, "m-a"), (16_385, "a")])
def test_a_message_that_takes_time_to_read_is_named_by_its_id(
    still: StillClock, size: int, named: str
) -> None:
    worker(still, "dead", 1, "a")
    body = '{"message_id":"m-a","x":""}'
    still.redis.hset(READS.bodies, "a", body[:-2] + "y" * (size - len(body)) + body[-2:])
    assert tend(still)["dead"] == [["dead", 1, [named]]]


@pytest.mark.parametrize("body", ["[7]", "7", '{"message_id":7}', "no JSON"])
def test_a_message_that_does_not_name_itself_is_named_by_its_id(still: StillClock, body: str) -> None:
    worker(still, "dead", 1, "a")
    still.redis.hset(READS.bodies, "a", body)
    assert tend(still)["dead"] == [["dead", 1, ["a"]]]


def test_however_much_a_dead_worker_had_all_of_it_goes_back_and_a_hundred_are_named(
    still: StillClock,
) -> None:
    worker(still, "dead", 1, *(f"r{number}" for number in range(2001)))
    [[_, count, names]] = tend(still)["dead"]
    assert (count, len(names)) == (2001, 100)
    assert still.redis.llen(READS.ready) == still.redis.hlen(READS.deaths) == 2001


@pytest.mark.parametrize(("seen", "dropped"), [(NOW - DAY_MS, True), (NOW - DAY_MS + 1, False)])
@pytest.mark.parametrize("suffix", ["", ".DQ"])
def test_a_stock_broker_is_dropped_after_a_day(
    still: StillClock, seen: int, suffix: str, *, dropped: bool
) -> None:
    still.redis.zadd(KEYS.heartbeats, {"stranger": seen})
    still.redis.sadd(f"{KEYS.acks('stranger', 'reads')}{suffix}", "a")
    still.redis.hset(f"{READS.ready}{suffix}.msgs", "a", "{}")
    assert tend(still)["dead"] == []
    found = still.all()
    assert ("stranger" in found[KEYS.heartbeats]) is not dropped
    assert (f"{READS.ready}{suffix}" in found) is dropped


def test_a_worker_of_ours_is_no_stranger(still: StillClock) -> None:
    """If its setting allows a silence of more than a day, it has that time."""
    worker(still, "slow", NOW - DAY_MS - 1, "a", about=json.dumps({"silence_ms": 2 * DAY_MS}))
    tend(still)
    assert still.all()[KEYS.heartbeats] == {"w1": NOW, "slow": NOW - DAY_MS - 1}


def test_a_stranger_stays_until_all_it_had_is_given_back(still: StillClock) -> None:
    still.redis.zadd(KEYS.heartbeats, {"stranger": 1, "empty": 1})
    still.redis.sadd(KEYS.acks("stranger", "reads"), "a")
    put(still, "a")
    still.redis.delete(READS.ready)
    still.redis.set(READS.ready, "something else")
    tend(still)
    assert still.all()[KEYS.heartbeats] == {"stranger": 1, "w1": NOW}
