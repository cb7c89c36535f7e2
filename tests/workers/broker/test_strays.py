"""How a message that is in no place is searched for and put back, with a clock that the test moves."""

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
    """Search until the search waits to see whether the ids that it found stay astray."""
    assert search.turn() == strays.TICK_SECONDS


def test_what_stands_nowhere_for_a_while_is_put_back(still: StillClock, search: Strays, clock: Clock) -> None:
    assert search.turn() is None
    still.redis.hset(
        READS.bodies, mapping={"a": "{}", "listed": "{}", "theirs": "{}", "stranger's": "{}", "later": "{}"}
    )
    still.redis.rpush(READS.ready, "listed")
    still.redis.hset(KEYS.workers, "w1", "{}")
    still.redis.sadd(KEYS.acks("w1", "reads"), "theirs")
    # A stock broker is only known by its heartbeat.
    still.redis.zadd(KEYS.heartbeats, {"stranger": 1})
    still.redis.sadd(KEYS.acks("stranger", "reads"), "stranger's")
    search.begin(["reads"])
    to_its_wait(search)
    # The producer of `later` pushes its id a moment later.
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
    # The next turn goes on where this one ended.
    while (rest := search.turn()) == strays.REST_SECONDS:
        assert READS.delayed not in still.all()
    assert rest == strays.TICK_SECONDS


def test_every_id_of_a_long_list_is_seen_and_every_message_looked_through(
    still: StillClock, search: Strays, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This must hold even if there are more ids than may be remembered at once."""
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


def asked_of(still: StillClock, search: Strays, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return a list that notes what Redis is asked from now on: scripts, with the number of ids given, and ranges of lists."""
    asked: list[tuple[Any, ...]] = []
    run = search._runner.run

    def runs(script: Any, keys: Any, args: Any) -> Any:
        told = (script.name, len(args) - 2, args[0]) if script.name == "put_back" else (script.name, *args)
        asked.append(told)
        return run(script, keys, args)

    monkeypatch.setattr(search._runner, "run", runs)
    for name in ("lrange", "zrevrange"):
        command = getattr(still.redis, name)

        def noted(key: Any, *given: Any, name: str = name, command: Any = command) -> Any:
            asked.append((name, *given))
            return command(key, *given)

        monkeypatch.setattr(still.redis, name, noted)
    return asked


def test_each_step_of_a_search_takes_redis_a_moment(
    still: StillClock, search: Strays, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list is read from its end: a fetch meanwhile shifts nothing, and after a push some ids are only seen twice."""
    ids = [f"m{number}" for number in range(1250)]
    still.redis.hset(READS.bodies, mapping=dict.fromkeys(ids, "{}"))
    still.redis.rpush(READS.ready, *ids[:1001])
    asked = asked_of(still, search, monkeypatch)
    search.begin(["reads"])
    to_its_wait(search)
    assert [told for told in asked if told[0] == "lrange"] == [
        ("lrange", -1000, -1),
        ("lrange", -2000, -1001),
        ("lrange", -3000, -2001),
    ]
    looked_through = [told for told in asked if told[0] == "ids"]
    assert looked_through[0] == ("ids", b"0", 100)
    assert {count for _, _, count in looked_through} == {100}
    assert {told[1:] for told in asked if told[0] == "zrevrange"} == {(0, 999)}
    judged = [told for told in asked if told[0] == "put_back"]
    assert sum(count for _, count, _ in judged) == 249
    assert {puts for _, _, puts in judged} == {""}
    assert max(count for _, count, _ in judged) <= 100
    asked.clear()
    clock.now += strays.ASTRAY_SECONDS
    assert search.turn() is None
    assert [told for told in asked if told[0] == "put_back"] == [
        ("put_back", 100, "1"), ("put_back", 100, "1"), ("put_back", 49, "1"),
    ]  # fmt: skip
    assert still.redis.zcard(READS.delayed) == 249


@pytest.mark.parametrize(("length", "parts"), [(0, 1), (6, 1), (7, 2), (13, 2), (14, 3)])
def test_the_messages_are_looked_through_once_for_as_many_ids_as_can_be_remembered(
    still: StillClock, search: Strays, monkeypatch: pytest.MonkeyPatch, length: int, parts: int
) -> None:
    assert (strays.REMEMBERED, strays.MOST) == (200_000, 100_000)
    monkeypatch.setattr(strays, "REMEMBERED", 7)
    monkeypatch.setattr(strays, "TURN_SECONDS", 1e9)
    ids = [f"m{number}" for number in range(length)]
    if ids:
        still.redis.hset(READS.bodies, mapping=dict.fromkeys(ids, "{}"))
        still.redis.rpush(READS.ready, *ids)
    asked = asked_of(still, search, monkeypatch)
    search.begin(["reads"])
    assert search.turn() is None
    assert len([told for told in asked if told[:2] == ("ids", b"0")]) == parts
    # Each id is remembered in one part, and none of them is astray.
    assert [told for told in asked if told[0] == "put_back"] == []


def test_what_was_found_elsewhere_meanwhile_is_told_as_nothing(
    still: StillClock, search: Strays, clock: Clock
) -> None:
    still.redis.hset(READS.bodies, "a", "{}")
    search.begin(["reads"])
    to_its_wait(search)
    still.redis.rpush(READS.ready, "a")
    clock.now += strays.ASTRAY_SECONDS
    with capture_logs() as lines:
        assert search.turn() is None
    assert (lines, READS.delayed in still.all()) == ([], False)


def test_after_an_error_the_next_search_begins_anew(
    still: StillClock, search: Strays, monkeypatch: pytest.MonkeyPatch
) -> None:
    still.redis.hset(READS.bodies, "a", "{}")
    search.begin(["reads"])
    with monkeypatch.context() as away:
        away.setattr(still.redis, "llen", lambda _: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            search.turn()
    assert search.turn() is None, "there is nothing to go on with"
    search.begin(["reads"])
    to_its_wait(search)


def test_what_a_broker_has_in_hand_whose_name_is_no_text_stands_somewhere(
    still: StillClock, search: Strays, clock: Clock
) -> None:
    """Otherwise such a name would stop the search of every worker, and nothing would be put back any more."""
    acks = KEYS.acks("w\udcff", "reads").encode("utf-8", "surrogateescape")
    still.redis.zadd(KEYS.heartbeats, {b"w\xff": 1})
    still.redis.sadd(acks, "theirs")
    still.redis.hset(READS.bodies, mapping={"theirs": "{}", "a": "{}"})
    search.begin(["reads"])
    to_its_wait(search)
    clock.now += strays.ASTRAY_SECONDS
    assert search.turn() is None
    assert still.redis.zrange(READS.delayed, 0, -1) == [b"a"]


def test_only_what_somebody_has_in_hand_is_looked_into(still: StillClock, search: Strays) -> None:
    still.redis.hset(KEYS.workers, mapping={"w1": "{}", "idle": "{}"})
    still.redis.zadd(KEYS.heartbeats, {"w1": 1, "stranger": 1, "idle stranger": 1})
    for name in ("w1", "stranger"):
        still.redis.sadd(KEYS.acks(name, "reads"), "a")
    # Each name comes once, although w1 has both an entry and a heartbeat.
    assert sorted(search._outstanding("reads")) == sorted(
        KEYS.acks(name, "reads").encode() for name in ("w1", "stranger")
    )


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


def test_a_search_ends_with_the_last_that_one_may_put_back(
    still: StillClock, search: Strays, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "MOST", 2)
    still.redis.hset(READS.bodies, mapping={"a": "{}", "b": "{}", "c": "{}"})
    monkeypatch.setattr(search, "_candidates", lambda _: iter([[b"a"], [], [b"b"], [b"c"]]))
    search.begin(["reads"])
    to_its_wait(search)
    clock.now += strays.ASTRAY_SECONDS
    assert search.turn() is None
    assert still.all()[READS.delayed].keys() == {"a", "b"}
