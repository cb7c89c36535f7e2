"""Slots of the account's pace: evenly spaced, and shared by the lanes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from delivery.scripts import SCRIPTS
from tests.harness.records import (
    DAY_MS,
    NOW_US,
)
from tests.harness.still_clock import NOW, StillClock

INTERVAL_US = 100_000


def reserve(
    still: StillClock, lane: str = "contacts", weight: int = 4, *waiting: str, horizon: int = 1000
) -> Any:
    who = {"lane": lane, "weight": weight, "waiting": waiting}
    return still.ask(SCRIPTS["reserve"], ["pace"], [json.dumps(who), INTERVAL_US, horizon])


def pace(still: StillClock) -> dict[str, float]:
    return {name: float(value) for name, value in still.all()["pace"].items()}


def test_slots_are_evenly_spaced_and_nothing_is_saved_up(still: StillClock) -> None:
    assert [reserve(still) for _ in range(3)] == [[0, 0], [100, 0], [200, 0]]
    assert pace(still) == {"tat": NOW_US + 3 * INTERVAL_US, "turn": 0.5, "p:contacts": 0.75, "w:contacts": 0}
    assert still.lives("pace", DAY_MS)
    still.now += 60_000
    assert [reserve(still) for _ in range(2)] == [[0, 0], [100, 0]]


def test_without_a_limit_there_is_no_pace(still: StillClock) -> None:
    who = json.dumps({"lane": "contacts", "weight": 4, "waiting": []})
    assert still.ask(SCRIPTS["reserve"], ["pace"], [who, 0, 1000]) == [0, 0]
    assert still.all() == {}


@pytest.mark.parametrize(
    ("ahead_us", "answer"), [(1_000_000, [1000, 0]), (1_000_001, [1, 1]), (1_500_000, [500, 1])]
)
def test_a_slot_beyond_the_horizon_is_not_reserved(
    still: StillClock, ahead_us: int, answer: list[int]
) -> None:
    still.redis.hset("pace", "tat", NOW_US + ahead_us)
    assert reserve(still) == answer
    if answer[1]:
        # The lane is expected to ask again.
        assert pace(still) == {"tat": NOW_US + ahead_us, "w:contacts": NOW + max(200, answer[0]) + 250}
        assert still.lives("pace", DAY_MS)


@pytest.mark.parametrize(("over_us", "slot"), [(0, [10_200, 0]), (1, [0, 0])])
def test_a_slot_further_ahead_than_anybody_may_reserve_is_not_believed(
    still: StillClock, over_us: int, slot: list[int]
) -> None:
    """The clock was set back since, or the limit raised."""
    still.redis.hset("pace", "tat", NOW_US + 10_000_000 + 2 * INTERVAL_US + over_us)
    assert reserve(still, horizon=20_000) == slot


def test_of_the_lanes_that_wait_the_one_that_had_the_least_goes_first(still: StillClock) -> None:
    still.redis.hset("pace", mapping={"turn": 2, "p:contacts": 3, "p:reads": 2.5, "w:reads": NOW + 450})
    # It is the other lane's turn, so this one asks again after an interval.
    assert reserve(still) == [100, 1]
    assert pace(still)["w:contacts"] == NOW + 450
    assert "tat" not in pace(still)
    # A lane that has had nothing yet begins where the lane that was served last had begun.
    assert reserve(still, "groups") == [0, 0]
    assert (pace(still)["turn"], pace(still)["p:groups"]) == (2, 2.25)


@pytest.mark.parametrize(
    ("fields", "goes"),
    [
        ({"p:reads": 2.5, "w:reads": NOW + 1}, False),
        ({"p:reads": 2.5, "w:reads": NOW}, True),
        # A worker with a lower limit marks its lane for this long.
        ({"p:reads": 2.5, "w:reads": NOW + 10_250}, False),
        # No lane is expected for longer than that: the clock was set back since.
        ({"p:reads": 2.5, "w:reads": NOW + 10_251}, True),
        ({"p:reads": 3, "w:reads": NOW + 9}, True),
        ({"p:contacts": 3, "w:contacts": NOW + 9}, True),
    ],
)
def test_a_lane_waits_for_another_only_while_that_is_expected(
    still: StillClock, fields: dict[str, float], *, goes: bool
) -> None:
    still.redis.hset("pace", mapping={"turn": 2, "p:contacts": 3, **fields})
    assert reserve(still) == ([0, 0] if goes else [100, 1])


def test_lanes_of_which_a_process_has_more_are_expected(still: StillClock) -> None:
    assert reserve(still, "contacts", 4, "contacts", "reads") == [0, 0]
    assert pace(still)["w:contacts"] == pace(still)["w:reads"] == NOW + 450
    # Now it is the turn of the reads, which had nothing yet.
    assert reserve(still) == [100, 1]
    assert reserve(still, "reads", 2) == [100, 0]
    assert pace(still)["p:reads"] == 0.5


def test_a_worker_with_a_higher_limit_keeps_its_turn_until_it_asks_again(still: StillClock) -> None:
    """Otherwise its two intervals would be over before the slot that a slower worker has reserved, and its lane would never have a turn."""
    slow, fast = 500_000, 25_000
    bulk = json.dumps({"lane": "bulk", "weight": 2, "waiting": ["bulk"]})
    contact = json.dumps({"lane": "contacts", "weight": 4, "waiting": ["contacts"]})
    script = SCRIPTS["reserve"]
    still.redis.hset("pace", mapping={"turn": 2, "p:contacts": 3, "p:bulk": 2, "tat": NOW_US + slow})
    assert still.ask(script, ["pace"], [bulk, fast, 50]) == [450, 1]
    still.now += 449
    # A lane that asks a moment earlier leaves the slot to it.
    assert still.ask(script, ["pace"], [contact, slow, 1000])[1] == 1
    still.now += 1
    assert still.ask(script, ["pace"], [bulk, fast, 50]) == [50, 0]


def test_a_fast_pace_asks_again_after_an_interval_and_a_slow_one_after_a_moment(still: StillClock) -> None:
    fields: Any = {"turn": 2, "p:contacts": 3, "p:reads": 2.5, "w:reads": NOW + 9}
    who = json.dumps({"lane": "contacts", "weight": 4, "waiting": []})
    for interval_us, again in ((500, 1), (50_000, 50), (250_000, 250), (9_000_000, 250)):
        still.redis.hset("pace", mapping=fields)
        assert still.ask(SCRIPTS["reserve"], ["pace"], [who, interval_us, 1000]) == [again, 1]
