"""How a message that stands nowhere is searched for and put back, by a clock that the test moves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.keys import Keys
from tests.harness.still_clock import StillClock
from workers.broker import strays
from workers.broker.strays import Strays

KEYS = Keys()
READS, BULK = KEYS.queue("reads"), KEYS.queue("bulk")


class Clock:
    """Stands in for the module ``time``."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(strays, "time", clock)
    return clock


@pytest.fixture
def search(still: StillClock, clock: Clock) -> Strays:
    broker: Any = SimpleNamespace(keys=KEYS)
    return Strays(broker, still.redis)


def to_its_wait(search: Strays) -> None:
    """Search until it waits for what it found to have stood nowhere for long enough."""
    assert search.turn() == strays.TICK_SECONDS


def test_what_stands_nowhere_for_a_while_is_put_back(still: StillClock, search: Strays, clock: Clock) -> None:
    assert search.turn() is None
    still.redis.hset(
        READS.bodies, mapping={"a": "{}", "listed": "{}", "theirs": "{}", "stranger's": "{}", "later": "{}"}
    )
    still.redis.rpush(READS.ready, "listed")
    still.redis.hset(KEYS.workers, "w1", "{}")
    still.redis.sadd(KEYS.acks("w1", "reads"), "theirs")
    # A stock broker is known by its heartbeat alone.
    still.redis.zadd(KEYS.heartbeats, {"stranger": 1})
    still.redis.sadd(KEYS.acks("stranger", "reads"), "stranger's")
    search.begin(["reads"])
    to_its_wait(search)
    # A producer pushes it a moment later.
    still.redis.rpush(READS.ready, "later")
    clock.now += strays.ASTRAY_SECONDS - 0.001
    to_its_wait(search)
    assert READS.delayed not in still.all()
    clock.now += 0.001
    with capture_logs() as lines:
        assert search.turn() is None
    assert still.all()[READS.delayed].keys() == {"a"}
    assert [(line["event"], line["queue"], line["messages"]) for line in lines] == [
        ("queue.put_back", "reads", 1)
    ]


def test_one_search_is_under_way_at_a_time_and_takes_its_queues_in_turn(
    still: StillClock, search: Strays, clock: Clock
) -> None:
    still.redis.hset(READS.bodies, "a", "{}")
    still.redis.hset(BULK.bodies, "b", "{}")
    search.begin(["bulk", "reads"])
    search.begin(["reads"])
    to_its_wait(search)
    clock.now += strays.ASTRAY_SECONDS
    to_its_wait(search)
    assert still.all()[BULK.delayed].keys() == {"b"}
    assert READS.delayed not in still.all()
    clock.now += strays.ASTRAY_SECONDS
    assert search.turn() is None
    assert still.all()[READS.delayed].keys() == {"a"}


def test_where_nothing_is_astray_nobody_waits_and_nothing_is_told(still: StillClock, search: Strays) -> None:
    still.redis.hset(READS.bodies, "a", "{}")
    still.redis.rpush(READS.ready, "a")
    search.begin(["reads"])
    with capture_logs() as lines:
        assert search.turn() is None
    assert lines == []


def test_a_search_rests_when_its_turn_took_long_enough(
    still: StillClock, search: Strays, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    still.redis.hset(READS.bodies, mapping={f"m{number}": "{}" for number in range(600)})
    search.begin(["reads"])
    slow = clock.monotonic

    def passing() -> float:
        clock.now += strays.TURN_SECONDS * 0.6
        return slow()

    monkeypatch.setattr(clock, "monotonic", passing)
    assert search.turn() == strays.REST_SECONDS


def test_every_id_of_a_long_list_is_seen_and_every_message_looked_through(
    still: StillClock, search: Strays, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where so many ids cannot be remembered at once."""
    for remembered in (strays.REMEMBERED, 700):
        monkeypatch.setattr(strays, "REMEMBERED", remembered)
        monkeypatch.setattr(strays, "TURN_SECONDS", 1e9)
        still.redis.flushall()
        ids = [f"m{number}" for number in range(2300)]
        still.redis.hset(READS.bodies, mapping=dict.fromkeys(ids, "{}"))
        still.redis.rpush(READS.ready, *ids[:-150])
        search.begin(["reads"])
        to_its_wait(search)
        clock.now += strays.ASTRAY_SECONDS
        with capture_logs() as lines:
            assert search.turn() is None
        assert still.all()[READS.delayed].keys() == set(ids[-150:])
        assert [line["messages"] for line in lines] == [150]


def test_what_a_broker_has_in_hand_whose_name_is_no_text_stands_somewhere(
    still: StillClock, search: Strays, clock: Clock
) -> None:
    """It stopped the search of every worker, so that nothing was put back any more."""
    acks = KEYS.acks("w\udcff", "reads").encode("utf-8", "surrogateescape")
    still.redis.zadd(KEYS.heartbeats, {b"w\xff": 1})
    still.redis.sadd(acks, "theirs")
    still.redis.hset(READS.bodies, mapping={"theirs": "{}", "a": "{}"})
    search.begin(["reads"])
    to_its_wait(search)
    clock.now += strays.ASTRAY_SECONDS
    assert search.turn() is None
    assert still.redis.zrange(READS.delayed, 0, -1) == [b"a"]


def test_of_very_many_some_are_put_back_by_one_search(
    still: StillClock, search: Strays, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "MOST", 200)
    still.redis.hset(READS.bodies, mapping={f"m{number}": "{}" for number in range(3000)})
    search.begin(["reads"])
    to_its_wait(search)
    clock.now += strays.ASTRAY_SECONDS
    assert search.turn() is None
    assert 200 <= still.redis.zcard(READS.delayed) < 3000
