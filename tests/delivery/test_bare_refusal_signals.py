"""What settle.lua does about refusals without a code: it begins a hold, or lets the call wait alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from delivery.settlement import Changes
from tests.harness.records import (
    BARE,
    DAY_MS,
    KEYS,
    WELL,
    Tell,
    events,
    holds,
)
from tests.harness.still_clock import NOW, StillClock


def test_a_refusal_without_a_code_notes_which_call_it_was(still: StillClock, tell: Tell) -> None:
    tell(replace(BARE, lost=True))
    hold = holds(still)["account/refused"]
    assert (hold["bare"], hold["lost"], hold["about"], hold["code"]) == (True, True, "this one", "")
    assert events(still)[0]["data"]["code"] is None


def test_the_pause_of_a_refusal_without_a_code_grows_to_eight_seconds(still: StillClock, tell: Tell) -> None:
    tell(BARE)
    for interval in (2000, 4000, 8000, 8000):
        hold = holds(still)["account/refused"] | {"probe": "t1", "any": True}
        still.redis.hset(KEYS.holds, "account/refused", json.dumps(hold))
        tell(replace(BARE, scope="sms"))
        hold = holds(still)["account/refused"]
        assert (hold["interval"], "any" in hold) == (interval, False)
    assert holds(still).keys() == {"account/refused"}


def test_a_call_that_is_refused_while_another_passes_waits_alone(still: StillClock, tell: Tell) -> None:
    tell(BARE)
    tell(replace(WELL, about="another"))
    assert holds(still) == {}
    found = still.all()
    assert found[KEYS.alone] == {"this one": f"1 {NOW + 4000}"}
    assert still.lives(KEYS.alone, DAY_MS)
    assert found[KEYS.troubles]["passed"] == str(NOW)
    # If the call is refused again, it waits longer, and no other call waits with it.
    for times, pause_ms in ((2, 8000), (3, 16_000)):
        assert tell(BARE) == Changes()
        assert still.all()[KEYS.alone] == {"this one": f"{times} {NOW + pause_ms}"}
    still.redis.hset(KEYS.alone, "this one", f"40 {NOW}")
    tell(BARE)
    assert still.all()[KEYS.alone] == {"this one": f"41 {NOW + 600_000}"}
    # Once the call itself has passed, it does not wait alone any more.
    tell(WELL)
    assert KEYS.alone not in still.all()


def test_a_call_whose_own_refusal_ends_does_not_wait_alone(still: StillClock, tell: Tell) -> None:
    tell(BARE)
    tell(WELL)
    assert KEYS.alone not in still.all()
    assert "passed" not in still.all()[KEYS.troubles]


@pytest.mark.parametrize(
    ("passed", "alone"),
    [(NOW - 119_999, True), (NOW - 120_000, False), (NOW + 119_999, True), (NOW + 120_000, False)],
)
def test_whoever_is_refused_soon_after_others_passed_waits_alone(
    still: StillClock, tell: Tell, passed: int, *, alone: bool
) -> None:
    still.redis.hset(KEYS.troubles, "passed", passed)
    tell(BARE)
    assert (still.all().get(KEYS.alone) == {"this one": f"1 {NOW + 4000}"}) is alone
    assert list(holds(still)) == ([] if alone else ["account/refused"])


def test_so_many_refusals_in_a_row_hold_the_channel_though_others_passed(
    still: StillClock, tell: Tell
) -> None:
    still.redis.hset(KEYS.troubles, mapping={"passed": NOW, "run:bare": 98})
    tell(replace(BARE, about="call 99"))
    assert holds(still) == {}
    tell(replace(BARE, about="call 100"))
    assert list(holds(still)) == ["sms/refused"]
    assert holds(still)["sms/refused"]["scope"] == "sms"
    tell(WELL)
    assert still.all()[KEYS.troubles]["run:bare"] == "0"


def test_a_call_that_waits_alone_adds_nothing_to_a_hold_that_stands(still: StillClock, tell: Tell) -> None:
    still.redis.hset(KEYS.alone, "this one", f"3 {NOW}")
    tell(replace(BARE, about="another"))
    tell(BARE)
    assert still.all()[KEYS.alone] == {"this one": f"3 {NOW}"}
