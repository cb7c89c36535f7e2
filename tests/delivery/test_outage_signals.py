"""When failures are an outage, how an outage ends, and which hold a pause that the API asks for begins."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from delivery import Ledger
from delivery.policy import OUTAGE_THRESHOLD
from delivery.settlement import Changes, Signal
from tests.harness.holds import put_hold
from tests.harness.records import (
    DONE,
    KEYS,
    OUTAGE,
    REFUSED,
    WELL,
    Make,
    Tell,
    events,
    holds,
)
from tests.harness.still_clock import NOW, StillClock
from tests.harness.sync_ledger import finish


@pytest.mark.parametrize("connect", [True, False])
def test_so_many_failures_in_a_row_are_an_outage(still: StillClock, tell: Tell, *, connect: bool) -> None:
    run = "connect" if connect else "sms/add_contact"
    for number in range(1, OUTAGE_THRESHOLD):
        assert tell(replace(OUTAGE, connect=connect)) == Changes()
        assert still.all()[KEYS.troubles][f"run:{run}"] == str(number)
    assert still.lives(KEYS.troubles, 600_000)
    [hold] = tell(replace(OUTAGE, connect=connect)).began
    name = "account/outage" if connect else "sms/outage/add_contact"
    assert holds(still) == {name: hold}
    assert (hold["scope"], hold["kind"], hold["code"]) == ("account" if connect else "sms", "outage", "503")
    assert hold.get("call_only") is (None if connect else True)
    assert (hold["retry_at"], hold["interval"]) == (NOW + 1000, 1000)
    # In an outage deadlines run.
    assert KEYS.still not in still.all()
    # One more failure writes no event, and changes nothing.
    assert tell(replace(OUTAGE, connect=connect)) == Changes()
    assert holds(still) == {name: hold}


def test_answers_that_cannot_be_read_count_once_for_each_call(still: StillClock, tell: Tell) -> None:
    """One listing that is too long for the API would otherwise hold all others."""
    page = replace(OUTAGE, code="", text="add_contact: the answer is empty (HTTP 200)")
    for number in range(1, OUTAGE_THRESHOLD):
        for _ in range(3):
            assert tell(replace(page, broken=f"call {number}")) == Changes()
        assert still.all()[KEYS.troubles]["run:sms/add_contact"] == str(number)
    [hold] = tell(replace(page, broken="call 0")).began
    assert holds(still) == {"sms/outage/add_contact": hold}
    assert (hold["kind"], hold["message"], hold["call_only"]) == ("outage", page.text, True)
    # Other calls pass; those that failed come back, and fail again.
    assert tell(replace(WELL, about="another")).ended
    for number in range(OUTAGE_THRESHOLD):
        assert tell(replace(page, broken=f"call {number}")) == Changes()
    assert still.all()[KEYS.troubles]["run:sms/add_contact"] == "0"


def test_a_call_that_was_answered_since_counts_anew(still: StillClock, tell: Tell) -> None:
    for about in ("one", "two", "three"):
        tell(replace(OUTAGE, broken=about))
    tell(replace(WELL, about="two"))
    still.now = NOW + 1001
    for about, run in (("one", "0"), ("three", "0"), ("two", "1"), ("two", "1"), ("four", "2")):
        tell(replace(OUTAGE, broken=about))
        assert still.all()[KEYS.troubles]["run:sms/add_contact"] == run
    # Other failures count each time, and so do other kinds of call.
    tell(OUTAGE)
    tell(OUTAGE)
    assert still.all()[KEYS.troubles]["run:sms/add_contact"] == "4"
    tell(replace(OUTAGE, call="create_group", broken="one"))
    assert still.all()[KEYS.troubles]["run:sms/create_group"] == "1"


def test_only_so_many_calls_are_known_that_could_not_be_read(still: StillClock, tell: Tell) -> None:
    names = [f"add_contact:{number:040d}" for number in range(400)]
    for name in names:
        tell(replace(OUTAGE, broken=name))
    known = still.all()[KEYS.troubles]["broken:sms/add_contact"]
    assert len(known) == 8192
    before = still.all()[KEYS.troubles]["run:sms/add_contact"]
    tell(replace(OUTAGE, broken=names[-1]))
    assert still.all()[KEYS.troubles]["run:sms/add_contact"] == before


def test_a_probe_that_could_not_be_read_makes_the_pause_longer(still: StillClock, tell: Tell) -> None:
    put_hold(still.redis, KEYS, "sms/outage/add_contact", call_only=True, call="sms/add_contact", probe="t1")
    still.redis.hset(KEYS.troubles, "broken:sms/add_contact", "\nthis one\n")
    tell(replace(OUTAGE, broken="this one", text="the answer is empty"))
    hold = holds(still)["sms/outage/add_contact"]
    assert (hold["interval"], hold["probe"], hold["message"]) == (2000, "", "the answer is empty")


def test_calls_that_are_carried_out_are_no_outage_though_their_answers_cannot_be_read(
    still: StillClock, still_ledger: Ledger, claimed: Make, tell: Tell
) -> None:
    """Otherwise only a probe every few seconds would go on, where every call succeeds and is read back."""
    found = Signal(word="found", call="add_contact", about="this one", channel="sms")
    fields = {"call_only": True, "call": "sms/add_contact", "since": NOW - 5000}
    numbers = itertools.count()

    def end(began: int) -> Changes:
        job = claimed(f"job {next(numbers)}")
        still.redis.hset(still_ledger.record(job), "cl", began)
        return finish(still_ledger.settle(job, "t1", DONE, found)).changes

    # Time-outs and 5xx are an outage all the same.
    put_hold(still.redis, KEYS, "sms/outage/add_contact", **fields)
    assert end(NOW - 5000) == Changes()
    put_hold(still.redis, KEYS, "sms/outage/add_contact", **fields, broken=True)
    # This call began before the hold.
    assert end(NOW - 5001) == Changes()
    assert len(end(NOW - 5000).ended) == 1
    for later in (0, 119_999, 239_998):
        still.now = NOW + later
        for number in range(2 * OUTAGE_THRESHOLD):
            assert tell(replace(OUTAGE, broken=f"call {number}")) == Changes()
        # Each further call that is found makes the time longer.
        assert end(still.now) == Changes()
    still.now += 120_000
    began = [tell(replace(OUTAGE, broken=f"call {number}")).began for number in range(OUTAGE_THRESHOLD)]
    assert [len(holds) for holds in began] == [0] * (OUTAGE_THRESHOLD - 1) + [1]
    assert began[-1][0]["broken"] is True


def test_one_answer_ends_the_run(still: StillClock, tell: Tell) -> None:
    for signal in (WELL, REFUSED):
        still.redis.hset(KEYS.troubles, mapping={"run:connect": 5, "run:sms/add_contact": 6})
        tell(signal)
        found = still.all()[KEYS.troubles]
        assert (found["run:connect"], found["run:sms/add_contact"]) == ("0", "0")
        assert found["well:connect"] == found["well:sms/add_contact"] == str(NOW)
        assert still.lives(KEYS.troubles, 600_000)


def test_an_answer_that_came_too_late_came_over_a_connection(still: StillClock, tell: Tell) -> None:
    still.redis.hset(KEYS.troubles, "run:connect", 5)
    tell(OUTAGE)
    found = still.all()[KEYS.troubles]
    assert (found["run:connect"], found["well:connect"]) == ("0", str(NOW))
    still.redis.hset(KEYS.troubles, "run:connect", 5)
    still.now = NOW + 1001
    tell(replace(OUTAGE, connect=True))
    assert still.all()[KEYS.troubles]["run:connect"] == "6"


@pytest.mark.parametrize(
    ("well", "counts"), [(NOW - 1001, True), (NOW - 1000, False), (NOW, False), (NOW + 1, True)]
)
def test_only_a_call_that_began_since_the_last_good_answer_counts(
    still: StillClock, tell: Tell, well: int, *, counts: bool
) -> None:
    still.redis.hset(KEYS.troubles, "well:sms/add_contact", well)
    tell(OUTAGE)
    assert (still.all()[KEYS.troubles].get("run:sms/add_contact") == "1") is counts


@pytest.mark.parametrize(
    ("name", "hold", "signal", "ends"),
    [
        ("account/outage", {}, WELL, True),
        ("account/outage", {}, OUTAGE, True),
        ("account/outage", {}, REFUSED, True),
        ("account/outage", {}, replace(OUTAGE, connect=True), False),
        ("account/outage", {}, replace(WELL, word="none"), False),
        ("sms/outage/add_contact", {"call_only": True}, WELL, True),
        ("sms/outage/add_contact", {"call_only": True, "call": "sms/read_back"}, WELL, False),
        ("sms/outage/add_contact", {"call_only": True}, OUTAGE, False),
        ("sms/outage/add_contact", {"call_only": True}, REFUSED, False),
    ],
)
def test_an_outage_ends_with_what_came_back(
    still: StillClock, tell: Tell, name: str, hold: dict[str, Any], signal: Signal, *, ends: bool
) -> None:
    put_hold(still.redis, KEYS, name, **hold)
    assert bool(tell(signal).ended) is ends
    assert (name in holds(still)) is not ends


def test_events_tell_once_of_an_outage_of_several_kinds_of_call(still: StillClock, tell: Tell) -> None:
    """A channel was told to be released when the first kind of call worked again, while its other calls were held."""
    put_hold(still.redis, KEYS, "email/outage/add_contact", call_only=True, call="email/add_contact")
    put_hold(still.redis, KEYS, "sms/refused", call="sms/list_groups")
    for call in ("add_contact", "create_group"):
        still.redis.hset(KEYS.troubles, f"run:sms/{call}", OUTAGE_THRESHOLD - 1)
        # The log tells of each.
        assert len(tell(replace(OUTAGE, call=call)).began) == 1
    assert len(events(still)) == 1
    assert "untold" not in holds(still)["sms/outage/create_group"]
    assert len(tell(replace(WELL, call="add_contact")).ended) == 1
    assert [event["type"] for event in events(still)] == ["coupontools.account.held"]
    assert len(tell(replace(WELL, call="create_group")).ended) == 1
    assert [event["type"] for event in events(still)] == [
        "coupontools.account.held",
        "coupontools.account.released",
    ]


def test_a_hold_that_ends_before_its_event_was_written_is_told_all_the_same(
    still: StillClock, tell: Tell
) -> None:
    """Else a release would be told without what it ends: of this hold, or of the one beside it that was not told because of it."""
    for call, told in (("add_contact", {"untold": True}), ("create_group", {})):
        put_hold(still.redis, KEYS, f"sms/outage/{call}", call_only=True, call=f"sms/{call}", **told)
    for call in ("add_contact", "create_group"):
        tell(replace(WELL, call=call))
    assert [event["type"] for event in events(still)] == [
        "coupontools.account.held",
        "coupontools.account.released",
    ]


def test_the_pause_of_an_outage_grows_to_four_seconds(still: StillClock, tell: Tell) -> None:
    put_hold(still.redis, KEYS, "account/outage")
    for interval in (2000, 4000, 4000):
        still.redis.hset(
            KEYS.holds, "account/outage", json.dumps(holds(still)["account/outage"] | {"probe": "t1"})
        )
        tell(replace(OUTAGE, connect=True))
        hold = holds(still)["account/outage"]
        assert (hold["interval"], hold["retry_at"], hold["probe"]) == (interval, NOW + interval, "")


@pytest.mark.parametrize(
    ("hold", "signal", "pause_ms"),
    [
        ({"call": "sms/create_group"}, WELL, 1000),
        ({"call": "sms/create_group"}, replace(WELL, word="none"), 1000),
        # After a look-up the call itself may follow at once.
        ({"call": "sms/add_contact", "lost": True}, replace(WELL, call="read_back"), 0),
        ({"call": "sms/add_contact", "lost": True}, OUTAGE, 1000),
    ],
)
def test_a_probe_that_told_nothing_of_its_hold_gives_its_place_back(
    still: StillClock, tell: Tell, hold: dict[str, Any], signal: Signal, pause_ms: int
) -> None:
    put_hold(still.redis, KEYS, "sms/refused", probe="t1", let_out=NOW, letting=2, **hold)
    tell(signal)
    found = holds(still)["sms/refused"]
    assert (found["probe"], found["retry_at"], found["interval"]) == ("", NOW + pause_ms, 1000)
    assert not {"let_out", "letting"} & found.keys()


def test_another_s_call_leaves_the_probe_alone(still: StillClock, tell: Tell) -> None:
    hold = put_hold(still.redis, KEYS, "sms/refused", probe="t2", call="sms/create_group")
    tell(WELL)
    assert holds(still)["sms/refused"] == hold


@pytest.mark.parametrize(("pause_ms", "told"), [(10_000, False), (10_001, True)])
def test_a_pause_that_the_api_asks_for_is_told_if_it_is_long(
    still: StillClock, tell: Tell, pause_ms: int, *, told: bool
) -> None:
    asked = replace(WELL, word="none", pause=pause_ms, code="429", text="slowly")
    changes = tell(asked)
    hold = holds(still)["account/asked"]
    assert hold == {
        "scope": "account",
        "kind": "asked",
        "code": "429",
        "message": "slowly",
        "worker": "here:1",
        "since": NOW,
        "retry_at": NOW + pause_ms,
        "length": pause_ms,
        "probe": "",
    }
    assert (len(changes.began), len(events(still))) == (int(told), int(told))
    assert KEYS.still not in still.all()


def test_of_several_pauses_the_latest_end_counts_and_is_told_once(still: StillClock, tell: Tell) -> None:
    for later, pause_ms, end in (
        (0, 20_000, 20_000),
        (1, 19_999, 20_000),
        (2, 19_999, 20_001),
        (3, 30_000, 30_003),
    ):
        still.now = NOW + later
        tell(replace(WELL, word="none", pause=pause_ms))
        hold = holds(still)["account/asked"]
        assert (hold["since"], hold["retry_at"]) == (NOW, NOW + end)
    assert len(events(still)) == 1


def test_a_short_pause_that_becomes_a_long_one_is_told_from_then_on(still: StillClock, tell: Tell) -> None:
    tell(replace(WELL, word="none", pause=5000))
    still.now = NOW + 7
    assert len(tell(replace(WELL, word="none", pause=20_000)).began) == 1
    assert holds(still)["account/asked"]["since"] == NOW + 7


@pytest.mark.parametrize(("left", "replaced"), [(20_000, False), (20_001, True)])
def test_a_pause_with_more_left_than_it_lasts_was_set_by_a_clock_ahead(
    still: StillClock, tell: Tell, left: int, *, replaced: bool
) -> None:
    put_hold(still.redis, KEYS, "account/asked", retry_at=NOW + left, length=20_000)
    tell(replace(WELL, word="none", pause=15_000))
    assert holds(still)["account/asked"]["retry_at"] == NOW + (15_000 if replaced else left)


def test_a_short_pause_that_lengthens_a_long_one_is_told_with_it(still: StillClock, tell: Tell) -> None:
    """A hold is told at its end if its length is that of a long pause: else readers would take the account for held for good."""
    tell(replace(WELL, word="none", pause=20_000))
    still.now = NOW + 15_000
    assert tell(replace(WELL, word="none", pause=8000)) == Changes()
    hold = holds(still)["account/asked"]
    assert (hold["since"], hold["retry_at"], hold["length"]) == (NOW, NOW + 23_000, 20_000)


def test_a_pause_that_is_replaced_before_its_event_was_written_is_told_all_the_same(
    still: StillClock, tell: Tell
) -> None:
    """Redis had refused that event. The hold's end was told then, and its beginning never."""
    put_hold(still.redis, KEYS, "account/asked", retry_at=NOW + 11_000, length=11_000, untold=True)
    tell(replace(WELL, pause=20_000))
    hold = holds(still)["account/asked"]
    assert (hold["retry_at"], hold["untold"]) == (NOW + 20_000, True)
