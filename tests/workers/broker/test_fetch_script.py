"""What fetch.lua takes, in which order, and what it leaves in Redis; and how a message that workers died with is tried alone."""

from __future__ import annotations

from typing import Any

import pytest

from config.keys import Keys
from tests.harness.fetching import ABOUT, fetch_arguments, fetch_keys
from tests.harness.still_clock import NOW, StillClock
from workers.broker.scripts import SCRIPTS

KEYS = Keys()
READS = KEYS.queue("reads")
MINE = KEYS.acks("w1", "reads")
ALSO_MINE = KEYS.acks("w1", "bulk")
#: What every fetch that takes something writes about its worker.
REGISTERED = {KEYS.heartbeats: {"w1": NOW}, KEYS.workers: {"w1": ABOUT}}
KEPT_FREE_MS, SECOND_MS = 60_000, 2000


def fetch(still: StillClock, most: int = 10, room: int = 1 << 30, epoch: int = 1) -> list[Any]:
    """Fetch for w1; return how many messages wait for each worker, whether w1 may take nothing else, and what was taken."""
    keys = fetch_keys("reads", "w1", ("bulk",))
    now, waiting, alone, *taken = still.ask(
        SCRIPTS["fetch"], keys, fetch_arguments("reads", "w1", most, room, epoch)
    )
    assert now == str(still.now)
    return [waiting, alone, taken]


def put(still: StillClock, *ids: str, due: int | None = None, deaths: int = 0, body: str = "{}") -> None:
    for each in ids:
        still.redis.hset(READS.bodies, each, body)
        if due is None:
            still.redis.rpush(READS.ready, each)
        else:
            still.redis.zadd(READS.delayed, {each: due})
        if deaths:
            still.redis.hset(READS.deaths, each, deaths)


def test_an_empty_queue_registers_nobody(still: StillClock) -> None:
    assert fetch(still) == [0, 0, []]
    put(still, "later", due=NOW + 1)
    assert fetch(still) == [0, 0, []]
    assert KEYS.heartbeats not in still.all()


def test_what_is_due_is_taken_first_in_due_order_then_the_list(still: StillClock) -> None:
    put(still, "r1", "r2", "r3")
    put(still, "d2", due=NOW)
    put(still, "d1", due=5)
    put(still, "later", due=NOW + 1)
    assert fetch(still, 4) == [1, 0, ["d1", "{}", "0", "d2", "{}", "0", "r1", "{}", "0", "r2", "{}", "0"]]
    left = still.all()
    assert left.pop(READS.bodies).keys() == {"r1", "r2", "r3", "d1", "d2", "later"}
    assert left == REGISTERED | {
        READS.ready: ["r3"],
        READS.delayed: {"later": NOW + 1},
        MINE: {"d1", "d2", "r1", "r2"},
    }


def test_the_list_waits_until_all_that_is_due_is_taken(still: StillClock) -> None:
    put(still, "r")
    put(still, "d1", "d2", due=5)
    assert fetch(still, 2) == [1, 0, ["d1", "{}", "0", "d2", "{}", "0"]]
    assert fetch(still, 2) == [0, 0, ["r", "{}", "0"]]


def test_the_waiting_are_shared_among_the_workers_there_are(still: StillClock) -> None:
    put(still, *(f"r{number}" for number in range(8)))
    still.redis.hset(KEYS.workers, mapping={"w1": "{}", "w2": "{}"})
    still.redis.zadd(KEYS.heartbeats, {"w2": 1})
    assert fetch(still, 1)[0] == 3
    # A registered worker's own description is kept; its heartbeat is missing, and is written.
    assert still.all()[KEYS.workers] == {"w1": "{}", "w2": "{}"}
    assert still.all()[KEYS.heartbeats] == {"w1": NOW, "w2": 1}


def test_a_heartbeat_that_is_there_is_left_alone(still: StillClock) -> None:
    put(still, "r")
    still.redis.zadd(KEYS.heartbeats, {"w1": 7})
    fetch(still)
    assert still.all()[KEYS.heartbeats] == {"w1": 7}
    assert KEYS.workers not in still.all()


def test_a_fetch_from_before_the_last_reconciliation_takes_nothing(still: StillClock) -> None:
    put(still, "r")
    still.redis.set(KEYS.epoch("w1", "reads"), 5)
    before = still.all()
    assert fetch(still, epoch=4) == [0, 0, []]
    assert still.all() == before
    assert fetch(still, epoch=5)[2] == ["r", "{}", "0"]


def test_a_repeat_of_what_is_outstanding_is_dropped(still: StillClock) -> None:
    put(still, "a", "b")
    still.redis.sadd(MINE, "a")
    put(still, "c", due=1)
    still.redis.sadd(MINE, "c")
    assert fetch(still)[2] == ["b", "{}", "0"]
    assert {READS.ready, READS.delayed}.isdisjoint(still.all())


def test_a_due_id_whose_message_was_answered_is_dropped(still: StillClock) -> None:
    still.redis.zadd(READS.delayed, {"answered": 1})
    assert fetch(still) == [0, 0, []]
    assert still.all() == REGISTERED


def test_an_id_in_the_list_without_its_message_is_told(still: StillClock) -> None:
    still.redis.rpush(READS.ready, "nothing")
    assert fetch(still) == [0, 0, ["nothing", None, "0"]]
    assert still.all()[MINE] == {"nothing"}


def test_what_was_brought_forward_leaves_its_place_in_the_list_when_it_is_answered(still: StillClock) -> None:
    still.redis.sadd(READS.forward, "answered", "open")
    still.redis.rpush(READS.ready, "answered")
    put(still, "open", "next")
    assert fetch(still, most=2)[2] == ["open", "{}", "0"]
    assert still.all()[READS.forward] == {"open"}


def test_no_note_of_a_place_in_the_list_outlives_the_list(still: StillClock) -> None:
    """A message that was put off after it had been brought forward is taken from its place, too: its note stayed for good."""
    still.redis.sadd(READS.forward, "open", "answered long ago")
    put(still, "open")
    assert fetch(still)[2] == ["open", "{}", "0"]
    assert READS.forward not in still.all()


@pytest.mark.parametrize(("size", "told"), [(1 << 20, "x" * (1 << 20)), ((1 << 20) + 1, (1 << 20) + 1)])
def test_of_a_message_that_is_too_long_only_its_size_is_told(
    still: StillClock, size: int, told: str | int
) -> None:
    put(still, "long", body="x" * size)
    # The long message takes no room.
    put(still, "next")
    assert fetch(still, room=(1 << 20) + 2)[2] == ["long", told, "0", "next", "{}", "0"]


@pytest.mark.parametrize(("room", "taken"), [(20, 2), (19, 1), (9, 1)])
@pytest.mark.parametrize("due", [None, 1])
def test_so_many_as_have_room_and_one_in_any_case(
    still: StillClock, room: int, taken: int, due: int | None
) -> None:
    put(still, "a", "b", body="x" * 10, due=due)
    assert len(fetch(still, room=room)[2]) == 3 * taken
    assert len(fetch(still, room=room)[2]) == 3 * (2 - taken)


def test_due_and_list_share_the_room(still: StillClock) -> None:
    put(still, "d", body="x" * 10, due=1)
    put(still, "r", body="x" * 10)
    assert fetch(still, room=19)[2][::3] == ["d"]
    assert fetch(still, room=19)[2][::3] == ["r"]


@pytest.mark.parametrize("due", [None, 1])
@pytest.mark.parametrize(("deaths", "body"), [(2, "{}"), (6, 2)])
def test_deaths_are_told_and_what_nobody_survives_is_not_read(
    still: StillClock, deaths: int, body: str | int, due: int | None
) -> None:
    put(still, "a", deaths=deaths, due=due)
    assert fetch(still) == [0, 0, ["a", body, str(deaths)]]


def test_an_id_without_a_message_is_told_as_that_whoever_died_with_it(still: StillClock) -> None:
    still.redis.rpush(READS.ready, "a")
    still.redis.hset(READS.deaths, "a", 6)
    assert fetch(still) == [0, 0, ["a", None, "6"]]


@pytest.mark.parametrize("due", [None, 1])
@pytest.mark.parametrize("deaths", [3, 5])
def test_a_suspect_is_put_off_until_its_worker_has_nothing_else_in_hand(
    still: StillClock, deaths: int, due: int | None
) -> None:
    still.redis.sadd(ALSO_MINE, "other")
    put(still, "a", deaths=deaths, due=due)
    put(still, "b", due=NOW + 1)
    assert fetch(still) == [0, 1, []]
    until = NOW + KEPT_FREE_MS
    assert still.all()[READS.delayed] == {"a": until, "b": NOW + 1}
    assert still.all()[KEYS.suspects] == {"w1": f"{until}|reads|a"}
    assert READS.ready not in still.all()
    # As long as the worker has anything outstanding, it takes nothing.
    put(still, "c")
    assert fetch(still) == [0, 1, []]
    still.redis.delete(ALSO_MINE)
    assert fetch(still) == [0, 1, ["a", "{}", str(deaths)]]
    assert still.all()[MINE] == {"a"}
    assert still.all()[READS.delayed] == {"b": NOW + 1}
    # Nothing else is taken until the trial has ended.
    assert fetch(still) == [0, 1, []]
    still.redis.srem(MINE, "a")
    assert fetch(still)[2] == ["c", "{}", "0"]
    assert KEYS.suspects not in still.all()


def test_a_second_suspect_is_looked_at_again_soon(still: StillClock) -> None:
    put(still, "a", "b", deaths=3)
    put(still, "c")
    assert fetch(still) == [0, 1, ["c", "{}", "0"]]
    assert still.all()[READS.delayed] == {"a": NOW + KEPT_FREE_MS, "b": NOW + SECOND_MS}
    assert still.all()[KEYS.suspects] == {"w1": f"{NOW + KEPT_FREE_MS}|reads|a"}


def suspected(still: StillClock, until: int, queue: str = "reads") -> None:
    put(still, "a", deaths=3, due=until)
    still.redis.hset(KEYS.suspects, "w1", f"{until}|{queue}|a")


def test_whoever_tries_a_suspect_is_registered(still: StillClock) -> None:
    suspected(still, NOW + 1)
    assert fetch(still) == [0, 1, ["a", "{}", "3"]]
    assert {name: still.all()[name] for name in REGISTERED} == REGISTERED


@pytest.mark.parametrize("until", [NOW, NOW + KEPT_FREE_MS + 1])
def test_a_trial_whose_time_is_over_keeps_nobody_free(still: StillClock, until: int) -> None:
    """So does a trial whose time is further ahead than any is set: the clock was set back since."""
    still.redis.sadd(ALSO_MINE, "other")
    suspected(still, until)
    put(still, "b")
    assert fetch(still)[2][-3:] == ["b", "{}", "0"]
    still.redis.hset(KEYS.suspects, "w1", f"{until}|bulk|z")
    put(still, "c")
    assert fetch(still)[2] == ["c", "{}", "0"]


@pytest.mark.parametrize("until", [NOW + 1, NOW + KEPT_FREE_MS])
def test_a_suspect_of_another_queue_keeps_this_one_waiting(still: StillClock, until: int) -> None:
    still.redis.hset(KEYS.suspects, "w1", f"{until}|bulk|z")
    put(still, "b")
    assert fetch(still) == [0, 1, []]
    assert still.all()[READS.ready] == ["b"]


def test_a_suspect_that_another_worker_took_or_put_off_is_not_waited_for(still: StillClock) -> None:
    suspected(still, NOW + 5)
    still.redis.zadd(READS.delayed, {"a": NOW + 6})
    still.redis.sadd(ALSO_MINE, "other")
    put(still, "b")
    assert fetch(still) == [0, 0, ["b", "{}", "0"]]
    assert KEYS.suspects not in still.all()


def test_a_suspect_whose_message_is_gone_is_not_waited_for(still: StillClock) -> None:
    suspected(still, NOW + 5)
    still.redis.hdel(READS.bodies, "a")
    put(still, "b")
    assert fetch(still) == [0, 0, ["b", "{}", "0"]]
    assert KEYS.suspects not in still.all()


def test_a_trial_that_lasts_beyond_its_time_keeps_its_worker_for_itself(still: StillClock) -> None:
    suspected(still, NOW - 5)
    still.redis.sadd(MINE, "a")
    put(still, "b")
    assert fetch(still) == [0, 1, []]
