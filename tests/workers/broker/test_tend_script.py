"""How tend.lua keeps the queues in order: which worker does it, delays, dead letters, messages that are in no place."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.harness.still_clock import NOW, StillClock
from tests.harness.tending import (
    ALONE,
    KEYS,
    LATEST,
    LETTERS_MS,
    NOTHING,
    READS,
    put,
    tend,
    worker,
)


def test_a_beat_is_noted_and_its_worker_keeps_the_queues(still: StillClock) -> None:
    assert tend(still) == NOTHING
    assert still.all() == ALONE


def test_while_another_worker_keeps_the_queues_nothing_else_is_done(still: StillClock) -> None:
    tend(still)
    put(still, "a", due=1)
    still.now = NOW + 500
    assert tend(still, worker="w2") == NOTHING | {"kept_for": 1500}
    assert still.all()[KEYS.heartbeats] == {"w1": NOW, "w2": NOW + 500}
    assert READS.ready not in still.all()
    # The keeper itself goes on.
    assert tend(still)["moved"] == 1
    assert still.all()[KEYS.sweep]["kept_until"] == str(NOW + 2500)


@pytest.mark.parametrize(
    ("until", "keeps"), [(NOW, False), (NOW + 1, True), (NOW + 2000, True), (NOW + 2001, False)]
)
def test_a_keeper_is_waited_for_as_long_as_its_time_lasts(
    still: StillClock, until: int, *, keeps: bool
) -> None:
    """A time that is further ahead than any keeper's was set before the clock was set back."""
    still.redis.hset(KEYS.sweep, mapping={"keeper": "w2", "kept_until": until})
    assert tend(still)["kept_for"] == (until - NOW if keeps else 0)
    assert still.all()[KEYS.sweep]["keeper"] == ("w2" if keeps else "w1")


def test_a_worker_that_stops_moves_all_that_is_due_and_keeps_nothing(still: StillClock) -> None:
    still.redis.hset(KEYS.sweep, mapping={"keeper": "w2", "kept_until": NOW + 1000})
    put(still, "a", "b", due=NOW)
    put(still, "c", due=NOW + 1)
    told = tend(still, about="", word="all")
    assert (told["moved"], told["kept_for"], told["next"]) == (2, 0, 1)
    assert still.all()[READS.ready] == ["a", "b"]
    assert still.all()[READS.delayed] == {"c": NOW + 1}
    assert still.all()[KEYS.sweep] == {"keeper": "w2", "kept_until": str(NOW + 1000)}
    assert KEYS.heartbeats not in still.all()


def test_a_heartbeat_from_the_future_would_never_be_missed(still: StillClock) -> None:
    still.redis.zadd(KEYS.heartbeats, {"ahead": NOW + 1, "right": NOW, "behind": NOW - 1})
    tend(still)
    assert still.all()[KEYS.heartbeats] == {"ahead": NOW, "right": NOW, "behind": NOW - 1, "w1": NOW}


def test_between_heartbeats_no_beat_is_noted(still: StillClock) -> None:
    still.redis.zadd(KEYS.heartbeats, {"ahead": NOW + 1})
    still.redis.zadd(READS.dead, {"old": 1})
    still.redis.hset(KEYS.workers, "gone", "{}")
    put(still, "a")
    still.redis.delete(READS.ready)
    assert tend(still, about="") == NOTHING | {"messages": 1}
    found = still.all()
    assert found[KEYS.heartbeats] == {"ahead": NOW + 1}
    assert found[KEYS.workers] == {"gone": "{}"}
    assert found[READS.dead] == {"old": 1}


def test_how_much_there_is_is_told(still: StillClock) -> None:
    put(still, "a", "b")
    put(still, "c", queue="bulk")
    still.redis.hset(KEYS.holds, mapping={"sms/paused": "{}", "email/paused": "{}"})
    still.redis.sadd(KEYS.parked, "place")
    assert tend(still) == NOTHING | {"messages": 3, "holds": 3}


def test_of_what_is_due_the_last_one_wakes_a_worker_that_waits_for_the_list(still: StillClock) -> None:
    put(still, "first", due=NOW - 5)
    put(still, "last", due=NOW)
    put(still, "later", due=NOW + 70)
    put(still, "other", queue="bulk", due=NOW + 30)
    assert tend(still) == NOTHING | {"moved": 1, "next": 30, "messages": 4}
    assert still.all()[READS.ready] == ["last"]
    assert still.all()[READS.delayed] == {"first": NOW - 5, "later": NOW + 70}
    # No worker waits for a list that is not empty.
    assert tend(still)["moved"] == 0


def test_a_due_id_without_a_message_wakes_nobody(still: StillClock) -> None:
    still.redis.zadd(READS.delayed, {"answered": 1})
    assert tend(still)["moved"] == 1
    assert still.all() == ALONE


def stock(still: StillClock, name: str, body: Any) -> None:
    still.redis.rpush(READS.stock_delayed, name)
    if body is not None:
        still.redis.hset(
            READS.stock_delayed_bodies, name, body if isinstance(body, str) else json.dumps(body)
        )


@pytest.mark.parametrize(
    ("body", "due"),
    [
        ({"options": {"eta": NOW + 9}}, NOW + 9),
        ({"options": {"eta": LATEST}}, LATEST),
        ({"options": {"eta": LATEST + 1000}}, None),
        ({"options": {"eta": 0}}, 0),
        ({"options": {"eta": -1}}, None),
        ({"options": {"eta": str(NOW)}}, None),
        ({"options": 7}, None),
        ([7], None),
        ("no JSON", None),
    ],
)
def test_what_stock_producers_delayed_waits_where_delays_live(
    still: StillClock, body: Any, due: int | None
) -> None:
    stock(still, "a", body)
    told = tend(still, about="", silence=0)
    assert told["messages"] == told["moved"] - (due == 0) == 1
    found = still.all()
    assert {READS.stock_delayed, READS.stock_delayed_bodies}.isdisjoint(found)
    assert list(found[READS.bodies]) == ["a"]
    if due:
        assert found[READS.delayed] == {"a": due}
    else:
        assert found[READS.ready] == ["a"]


def test_a_delayed_id_without_a_message_goes_to_the_queue_where_it_is_set_aside(still: StillClock) -> None:
    stock(still, "nothing", None)
    assert tend(still, about="")["moved"] == 1
    assert still.all() == {READS.ready: ["nothing"], KEYS.sweep: ALONE[KEYS.sweep]}


@pytest.mark.parametrize(("size", "delayed"), [(1_048_576, True), (1_048_577, False)])
def test_a_delayed_message_that_is_too_long_is_not_looked_into(
    still: StillClock, size: int, *, delayed: bool
) -> None:
    body = json.dumps({"options": {"eta": NOW + 9}, "x": ""})
    stock(still, "long", body[:-2] + "y" * (size - len(body)) + body[-2:])
    tend(still, about="")
    assert (READS.delayed in still.all()) is delayed
    assert (READS.ready in still.all()) is not delayed
    assert len(still.all()[READS.bodies]["long"]) == size


def test_two_hundred_of_what_stock_producers_delayed_are_moved_at_once(still: StillClock) -> None:
    for number in range(201):
        stock(still, f"s{number}", {"options": {"eta": NOW + 9}})
    assert tend(still, about="")["moved"] == 200
    assert still.all()[READS.stock_delayed] == ["s200"]
    assert list(still.all()[READS.stock_delayed_bodies]) == ["s200"]
    assert tend(still, about="")["moved"] == 1


def test_so_many_bytes_of_delayed_messages_are_looked_into_at_once(still: StillClock) -> None:
    for name in ("a", "b", "c"):
        body = json.dumps({"options": {"eta": NOW + 9}, "x": ""})
        stock(still, name, body[:-2] + "y" * (524_288 - len(body)) + body[-2:])
    assert tend(still, about="")["moved"] == 200, "what did not fit comes at once"
    assert still.all()[READS.stock_delayed] == ["c"]
    assert list(still.all()[READS.stock_delayed_bodies]) == ["c"]
    assert tend(still, about="")["moved"] == 1
    assert still.all()[READS.delayed] == {"a": NOW + 9, "b": NOW + 9, "c": NOW + 9}


def test_of_long_delayed_messages_one_is_looked_into_at_once(still: StillClock) -> None:
    for name in ("a", "b"):
        stock(still, name, {"options": {"eta": NOW + 9}, "x": "y" * 900_000})
    assert tend(still, about="")["moved"] == 200
    assert still.all()[READS.delayed] == {"a": NOW + 9}


def test_dead_letters_are_kept_for_a_while(still: StillClock) -> None:
    for name, died in (("old", NOW - LETTERS_MS), ("new", NOW - LETTERS_MS + 1)):
        still.redis.zadd(READS.dead, {name: died})
        still.redis.hset(READS.dead_bodies, name, "{}")
        still.redis.hset(READS.dead_reasons, name, "why")
    tend(still)
    found = still.all()
    assert found[READS.dead] == {"new": NOW - LETTERS_MS + 1}
    assert (found[READS.dead_bodies], found[READS.dead_reasons]) == ({"new": "{}"}, {"new": "why"})


def test_two_hundred_old_letters_are_forgotten_at_once(still: StillClock) -> None:
    letters = [f"l{number:03d}" for number in range(201)]
    still.redis.zadd(READS.dead, {name: 1 + number for number, name in enumerate(letters)})
    for key in (READS.dead_bodies, READS.dead_reasons):
        still.redis.hset(key, mapping=dict.fromkeys(letters, "{}"))
    tend(still)
    assert still.all()[READS.dead] == {"l200": 201}
    assert list(still.all()[READS.dead_bodies]) == list(still.all()[READS.dead_reasons]) == ["l200"]


def test_two_hundred_of_what_is_due_are_moved_at_once_by_a_worker_that_stops(still: StillClock) -> None:
    put(still, *(f"d{number}" for number in range(201)), due=1)
    assert tend(still, about="", word="all")["moved"] == 200
    assert (still.redis.llen(READS.ready), still.redis.zcard(READS.delayed)) == (200, 1)


def test_of_many_deaths_some_are_looked_at_with_each_beat(still: StillClock) -> None:
    """Looking at all of them at once would hold up fetches."""
    still.redis.hset(READS.deaths, mapping={f"answered {number}": 1 for number in range(2000)})
    left = [2000]
    while left[-1] and len(left) < 50:
        tend(still)
        left.append(still.redis.hlen(READS.deaths))
    assert left[-1] == 0
    assert max(before - after for before, after in itertools.pairwise(left)) < 400
    # The look begins anew at the end, and then finds nothing to look at.
    tend(still)
    assert still.all()[KEYS.sweep]["deaths reads"] == "0"


def test_deaths_are_forgotten_when_their_message_is_answered(still: StillClock) -> None:
    put(still, "open")
    still.redis.hset(READS.deaths, mapping={"open": 2, "answered": 3})
    tend(still)
    assert still.all()[READS.deaths] == {"open": "2"}
    assert still.all()[KEYS.sweep]["deaths reads"] == "0"


def test_a_queue_with_more_messages_than_stand_anywhere_is_named(still: StillClock) -> None:
    place = "sms/paused|reads|sms/list_groups"
    put(still, "ready")
    put(still, "due", due=NOW + 5)
    worker(still, "w2", NOW, "theirs")
    for each in ("parked", "of another queue"):
        still.redis.hset(READS.bodies, each, "{}")
    still.redis.sadd(KEYS.parked, place)
    still.redis.zadd(f"{KEYS.parked}:{place}", {"parked": 1})
    other = "sms/paused|bulk|sms/add_contact"
    still.redis.sadd(KEYS.parked, other)
    still.redis.zadd(f"{KEYS.parked}:{other}", {"of another queue": 1})
    assert tend(still)["astray"] == ["reads"]
    still.redis.hdel(READS.bodies, "of another queue")
    assert tend(still)["astray"] == []
    for gone in (READS.ready, READS.delayed, KEYS.acks("w2", "reads"), f"{KEYS.parked}:{place}"):
        copy: Any = still.redis.dump(gone)
        still.redis.delete(gone)
        assert tend(still)["astray"] == ["reads"], gone
        still.redis.restore(gone, 0, copy)
    assert tend(still)["astray"] == []
