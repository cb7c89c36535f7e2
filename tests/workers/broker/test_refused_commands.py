"""If Redis refuses one command in the middle of a script, it does not roll back: nothing may be lost, and a repeat does the rest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError

from config.keys import Keys
from delivery import Script
from tests.harness import House
from tests.harness.fetching import fetch_arguments, fetch_keys, hand_back_keys
from tests.harness.refusals import Refusals, contents
from workers.broker.scripts import SCRIPTS
from workers.redis_link import ThreadRunner

KEYS = Keys()
READS = KEYS.queue("reads")
ACKS = KEYS.acks("w1", "reads")
HOUR_MS = 3_600_000
IDS = ("a", "b", "c")
BODY = json.dumps({"message_timestamp": 1, "options": {}, "kwargs": {}})


def _now() -> int:
    return round(time.time() * 1000)


def _bodies(client: redis.Redis, *ids: str) -> None:
    client.hset(READS.bodies, mapping=dict.fromkeys(ids, BODY))


def _outstanding(client: redis.Redis) -> None:
    _bodies(client, *IDS)
    client.sadd(ACKS, *IDS)


def _ready_and_due(client: redis.Redis) -> None:
    _bodies(client, *IDS, "d", "f")
    client.rpush(READS.ready, *IDS, "f")
    client.zadd(READS.delayed, {"d": 1, "f": 2})
    client.sadd(READS.forward, "f")


def _letter(client: redis.Redis) -> None:
    client.zadd(READS.dead, {"a": 1})
    client.hset(READS.dead_bodies, "a", BODY)
    client.hset(READS.dead_reasons, "a", "{}")


def _house_to_tend(client: redis.Redis) -> None:
    """Write delays of a stock producer with and without a due time, a message that is due, an old letter and a dead worker."""
    due = json.dumps({"options": {"eta": _now() + HOUR_MS}})
    client.hset(READS.stock_delayed_bodies, mapping={"s1": due, "s2": "{}", "s3": due})
    client.rpush(READS.stock_delayed, "s1", "s2", "s3", "nothing")
    _bodies(client, *IDS, "d")
    client.zadd(READS.delayed, {"d": 1})
    _letter(client)
    client.zadd(KEYS.heartbeats, {"w1": 1})
    client.hset(KEYS.workers, "w1", "{}")
    client.sadd(ACKS, *IDS)


def _overdue(client: redis.Redis) -> None:
    _bodies(client, *IDS, "p")
    client.rpush(READS.ready, *IDS)
    client.hset(KEYS.holds, "account/outage", json.dumps({"kind": "outage"}))
    client.sadd(KEYS.parked, "account/outage|reads|list_groups")
    client.zadd(f"{KEYS.parked}:account/outage|reads|list_groups", {"p": 1})


def _registered(client: redis.Redis) -> None:
    client.zadd(KEYS.heartbeats, {"w1": 1})
    client.hset(KEYS.workers, "w1", "{}")


def _suspect(client: redis.Redis) -> None:
    _ready_and_due(client)
    client.hset(READS.deaths, "a", 3)


def _kept_free(client: redis.Redis) -> None:
    _ready_and_due(client)
    till = _now() + 30_000
    client.hset(READS.deaths, "a", 3)
    client.hset(KEYS.suspects, "w1", f"{till}|reads|d")
    client.zadd(READS.delayed, {"d": till})


def _astray(client: redis.Redis) -> None:
    _bodies(client, *IDS)
    client.rpush(READS.ready, "a")


def _nothing(client: redis.Redis) -> None:
    pass


def _tend_arguments() -> list[Any]:
    return [
        "w2",
        "{}",
        1000,
        7 * 24 * HOUR_MS,
        KEYS.namespace,
        _now(),
        "all",
        16_725_225_600_000,
        "reads",
    ]


LETTER_KEYS = [READS.dead, READS.dead_bodies, READS.dead_reasons]
#: For each script: what is in Redis before, its keys and its arguments.
CASES: dict[str, tuple[Callable[[redis.Redis], None], list[str], Callable[[], list[Any]]]] = {
    "enqueue": (_nothing, [READS.ready, READS.bodies, READS.delayed], lambda: ["a", BODY, 0]),
    "enqueue a delay": (
        _nothing,
        [READS.ready, READS.bodies, READS.delayed],
        lambda: ["a", BODY, _now() + HOUR_MS],
    ),
    "enqueue_all": (
        _nothing,
        [
            *(READS.ready, READS.bodies, KEYS.answered("a"), KEYS.marks(1)),
            *(READS.ready, READS.bodies, KEYS.answered("b"), KEYS.marks(2)),
        ],
        lambda: ["a", "mark a", BODY, "b", "mark b", BODY],
    ),
    "fetch": (
        _ready_and_due,
        fetch_keys("reads", "w1"),
        lambda: fetch_arguments("reads", "w1", 10),
    ),
    "hand_back all": (_outstanding, hand_back_keys("reads", "w1"), lambda: ["all", 2, *IDS]),
    "hand_back others": (_outstanding, hand_back_keys("reads", "w1"), lambda: ["others", 2, "b"]),
    "fetch of a suspect": (_suspect, fetch_keys("reads", "w1"), lambda: fetch_arguments("reads", "w1", 10)),
    "fetch of what is tried alone": (
        _kept_free,
        fetch_keys("reads", "w1"),
        lambda: fetch_arguments("reads", "w1", 10),
    ),
    "put_back": (
        _astray,
        [READS.ready, READS.bodies, READS.delayed, KEYS.parked, ACKS],
        lambda: ["1", "reads", *IDS],
    ),
    "postpone": (_outstanding, [ACKS, READS.delayed], lambda: ["a", 5]),
    "revive": (_letter, [*LETTER_KEYS, READS.ready, READS.bodies], lambda: ["a", "new", BODY]),
    "set_aside": (
        _outstanding,
        [ACKS, READS.bodies, *LETTER_KEYS, KEYS.events],
        lambda: ["a", "{}", "type", "{}", 100],
    ),
    "set_aside, waited for": (
        _outstanding,
        [ACKS, READS.bodies, *LETTER_KEYS, KEYS.events, KEYS.reply("orders")],
        lambda: ["a", "{}", "type", "{}", 100],
    ),
    "purge": (_letter, LETTER_KEYS, lambda: ["a"]),
    "leave": (_registered, [KEYS.heartbeats, KEYS.workers, KEYS.suspects, ACKS], lambda: ["w1"]),
    "overdue": (
        _overdue,
        [
            KEYS.sweep,
            KEYS.parked,
            KEYS.holds,
            KEYS.cancelled,
            READS.ready,
            READS.bodies,
            READS.delayed,
            READS.forward,
        ],
        lambda: ["w1", 1000, 100, HOUR_MS, "reads"],
    ),
    "tend": (
        _house_to_tend,
        [
            KEYS.heartbeats,
            KEYS.workers,
            KEYS.holds,
            KEYS.parked,
            KEYS.sweep,
            KEYS.suspects,
            READS.ready,
            READS.bodies,
            READS.delayed,
            READS.stock_delayed,
            READS.stock_delayed_bodies,
            *LETTER_KEYS,
            READS.deaths,
        ],
        _tend_arguments,
    ),
}


def _script_of(case: str) -> str:
    return case.split(maxsplit=1)[0].rstrip(",")


@pytest.fixture
def refusals(house: House) -> Iterator[Refusals]:
    with Refusals(house.redis, house.server.port) as refusals:
        yield refusals


@pytest.mark.parametrize("case", CASES)
def test_of_a_script_of_the_broker(house: House, refusals: Refusals, case: str) -> None:
    prepare, keys, arguments = CASES[case]
    script = SCRIPTS[_script_of(case)]
    runner = ThreadRunner(refusals.client)
    # Run it once, so that Redis knows the script.
    runner.run(script, keys, arguments())
    house.redis.flushall()
    prepare(house.redis)
    before = _held(house.redis) if case != "purge" else set()
    refusals.forget_calls()
    runner.run(script, keys, arguments())
    commands = [command for command in refusals.called() if command not in {"evalsha", "eval"}]
    wanted = _contents(house.redis)
    assert commands
    for command in commands:
        house.redis.flushall()
        prepare(house.redis)
        with refusals.refused(command):
            for _ in range(3):
                assert "can't run this command" in _refusal(runner, script, keys, arguments()), command
                assert before <= _held(house.redis), f"{command} refused"
        runner.run(script, keys, arguments())
        assert _contents(house.redis) == wanted, f"{command} refused, then allowed"


#: The commands with which each script removes something, and without which it may not begin.
REMOVALS = {
    "enqueue": "hdel",
    "enqueue a delay": "hdel",
    "fetch": "zrem ltrim srem",
    "fetch of what is tried alone": "zrem",
    "hand_back all": "srem",
    "hand_back others": "srem",
    "postpone": "srem",
    "revive": "zrem hdel",
    "set_aside": "srem hdel",
    "leave": "hdel",
}


@pytest.mark.parametrize("case", REMOVALS)
def test_a_removal_that_is_refused_stops_a_script_before_its_first_change(
    house: House, refusals: Refusals, case: str
) -> None:
    """Otherwise what the script adds would be in Redis twice for as long as it may not remove."""
    prepare, keys, arguments = CASES[case]
    prepare(house.redis)
    # A fetch registers its worker whatever it gets, so do that before. hand_back.lua may raise the epoch: an older fetch then gets nothing.
    _registered(house.redis)
    house.redis.set(KEYS.epoch("w1", "reads"), 1)
    before = contents(house.redis)
    for removal in REMOVALS[case].split():
        with refusals.refused(removal):
            refused = _refusal(ThreadRunner(refusals.client), SCRIPTS[_script_of(case)], keys, arguments())
        assert "can't run this command" in refused
        after = contents(house.redis)
        after[KEYS.epoch("w1", "reads")] = before[KEYS.epoch("w1", "reads")]
        assert after == before, removal


def test_where_nothing_can_be_taken_back_no_second_message_is_enqueued(
    house: House, refusals: Refusals
) -> None:
    """If its push were refused, its body would be left alone, and a repeat would take that for a message that is on its queue."""
    _, keys, arguments = CASES["enqueue_all"]
    with refusals.refused("hdel"):
        refused = _refusal(ThreadRunner(refusals.client), SCRIPTS["enqueue_all"], keys, arguments())
    assert "can't run this command" in refused
    assert house.redis.lrange(READS.ready, 0, -1) == [b"a"]
    assert house.redis.hkeys(READS.bodies) == [b"a"]


def _refusal(runner: ThreadRunner, script: Script, keys: list[str], arguments: list[Any]) -> str:
    """Run a script that must fail, and return why. tend.lua goes on with the other queues, and returns the reason at its end."""
    try:
        answer = runner.run(script, keys, arguments)
    except ResponseError as error:
        return str(error)
    assert script.name == "tend"
    return answer[4].decode()


def _contents(client: redis.Redis) -> dict[str, Any]:
    # How far the sweep has come does not matter.
    return {key: content for key, content in contents(client).items() if key != KEYS.sweep}


def _held(client: redis.Redis) -> set[bytes]:
    """Return the ids of the messages that are in some place and have their bodies."""
    lists = {*client.lrange(READS.ready, 0, -1), *client.zrange(READS.delayed, 0, -1), *client.smembers(ACKS)}
    parked = {one for key in client.scan_iter(f"{KEYS.parked}:*") for one in client.zrange(key, 0, -1)}
    dead = set(client.zrange(READS.dead, 0, -1)) & set(client.hkeys(READS.dead_bodies))
    stock = set(client.lrange(READS.stock_delayed, 0, -1)) & set(client.hkeys(READS.stock_delayed_bodies))
    return ((lists | parked) & set(client.hkeys(READS.bodies))) | dead | stock
