"""How refusals with a code begin and lengthen a hold of the account, of a channel or of one secret, and what ends it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from delivery.settlement import Changes, Signal
from tests.harness.holds import put_hold
from tests.harness.records import (
    BARE,
    KEYS,
    OUTAGE,
    REFUSED,
    WELL,
    Tell,
    events,
    holds,
    pause,
    put_worker,
)
from tests.harness.still_clock import NOW, StillClock


def test_a_refusal_with_a_code_begins_a_hold_that_is_told(still: StillClock, tell: Tell) -> None:
    changes = tell(REFUSED)
    hold = {
        "scope": "account",
        "kind": "refused",
        "code": "101",
        "message": "no such client",
        "worker": "here:1",
        "call": "sms/add_contact",
        "since": NOW,
        "retry_at": NOW + 1000,
        "interval": 1000,
        "probe": "",
    }
    assert holds(still) == {"account/refused": hold}
    assert changes == Changes(began=(hold,))
    [event] = events(still)
    assert event["data"] == {
        "scope": "account",
        "kind": "refused",
        "code": 101,
        "message": "no such client",
        "worker": "here:1",
        "retry_at": "2027-01-15T08:00:01.789Z",
    }
    assert still.all()[KEYS.still] == {"account": str(NOW), "sms": str(NOW), "email": str(NOW)}
    # A second refusal changes nothing, since that call was no probe.
    assert tell(REFUSED) == Changes()
    assert (holds(still), len(events(still))) == ({"account/refused": hold}, 1)


def test_each_probe_that_is_refused_doubles_the_pause_up_to_a_minute(still: StillClock, tell: Tell) -> None:
    tell(REFUSED)
    for tried, interval in enumerate((2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000), 1):
        hold = holds(still)["account/refused"] | {"probe": "t1", "let_out": NOW, "letting": 4}
        still.redis.hset(KEYS.holds, "account/refused", json.dumps(hold))
        assert tell(replace(REFUSED, code="102", text="still not", worker="there:2")) == Changes()
        hold = holds(still)["account/refused"]
        assert (hold["interval"], hold["retry_at"], hold["tried"]) == (interval, NOW + interval, tried)
        assert (hold["code"], hold["message"], hold["worker"]) == ("102", "still not", "there:2")
        assert hold["probe"] == ""
        assert not {"let_out", "letting"} & hold.keys()


@pytest.mark.parametrize(
    ("after", "interval"), [(119_999, 2000), (120_000, 1000), (-119_999, 2000), (-120_000, 1000)]
)
def test_a_refusal_that_returns_at_once_goes_on_where_it_was(
    still: StillClock, tell: Tell, after: int, interval: int
) -> None:
    tell(REFUSED)
    changes = tell(WELL)
    assert [hold["scope"] for hold in changes.ended] == ["account"]
    assert still.all()[KEYS.troubles]["was:account/refused"] == f"{NOW} 1000"
    still.now = NOW + after
    tell(REFUSED)
    assert holds(still)["account/refused"]["interval"] == interval


@pytest.mark.parametrize(("signal", "interval"), [(REFUSED, 60_000), (BARE, 8000)])
def test_a_refusal_that_returns_waits_no_longer_than_any(
    still: StillClock, tell: Tell, signal: Signal, interval: int
) -> None:
    still.redis.hset(KEYS.troubles, "was:account/refused", f"{NOW} 50000")
    tell(signal)
    assert holds(still)["account/refused"]["interval"] == interval


@pytest.mark.parametrize(
    ("hold", "signal", "ends"),
    [
        ({"call": "sms/add_contact"}, WELL, True),
        ({"call": "sms/create_group"}, WELL, False),
        ({"call": "sms/create_group", "any": True}, WELL, True),
        ({"call": "sms/create_group", "bare": True, "about": "this one"}, WELL, True),
        ({"call": "sms/add_contact"}, replace(WELL, pause=5), False),
        ({"call": "sms/add_contact"}, replace(WELL, word="none"), False),
        ({"call": "sms/add_contact"}, OUTAGE, False),
        # A listing that works shows nothing about calls that change something.
        ({"call": "sms/read_back", "lost": True}, replace(WELL, call="read_back"), False),
        ({"call": "sms/read_back"}, replace(WELL, call="read_back"), True),
        ({"call": "sms/add_contact", "lost": True}, WELL, True),
        ({"scope": "sms"}, WELL, True),
        ({"scope": "email"}, WELL, False),
    ],
)
def test_what_went_well_ends_the_refusals_that_it_speaks_of(
    still: StillClock, tell: Tell, hold: dict[str, Any], signal: Signal, *, ends: bool
) -> None:
    put_hold(still.redis, KEYS, f"{hold.get('scope', 'account')}/refused", **hold)
    assert bool(tell(signal).ended) is ends
    assert bool(holds(still)) is not ends


@pytest.mark.parametrize(
    ("name", "hold", "signal", "again"),
    [
        ("account/refused", {}, REFUSED, True),
        # The probe was another kind of call, but its refusal has the hold's scope.
        ("account/refused", {"call": "sms/create_group"}, REFUSED, True),
        ("account/refused", {}, replace(REFUSED, scope="sms"), False),
        ("sms/refused", {}, REFUSED, False),
        # A refusal without a code says nothing about the scope; one with a code does, and so does a hold that began with a code.
        ("account/refused", {"bare": True, "about": "x"}, replace(BARE, scope="sms"), True),
        ("account/refused", {"bare": True, "about": "x"}, replace(REFUSED, scope="sms"), False),
        ("account/refused", {}, replace(BARE, scope="sms"), False),
        ("account/refused", {}, BARE, True),
        ("account/refused", {"bare": True, "about": "x"}, REFUSED, True),
        # A refusal says nothing about an outage of one kind of call.
        ("sms/outage/add_contact", {"call_only": True}, REFUSED, False),
    ],
)
def test_a_probe_that_is_refused_lengthens_the_hold_that_it_speaks_of_and_gives_others_back(
    still: StillClock, tell: Tell, name: str, hold: dict[str, Any], signal: Signal, *, again: bool
) -> None:
    put_hold(still.redis, KEYS, name, probe="t1", let_out=NOW, letting=2, **hold)
    changes = tell(signal)
    found = holds(still)[name]
    interval = 2000 if again else 1000
    assert (found["probe"], found["interval"], found["retry_at"]) == ("", interval, NOW + interval)
    assert (found.get("tried"), found.get("let_out"), found.get("letting")) == (
        1 if again else None,
        None,
        None,
    )
    assert [each["kind"] for each in changes.began] == ([] if again else ["refused"])
    assert len(holds(still)) == (1 if again else 2)


def test_a_probe_whose_secret_is_refused_begins_the_hold_of_that_secret(
    still: StillClock, tell: Tell
) -> None:
    put_hold(still.redis, KEYS, "account/refused", probe="t1", bare=True, about="x")
    tell(replace(REFUSED, by_secret=True))
    assert holds(still).keys() == {"account/refused", "account/refused/mine"}


@pytest.mark.parametrize("by_secret", [True, False])
def test_the_answer_to_a_call_that_was_under_way_ends_no_refusal(
    still: StillClock, tell: Tell, *, by_secret: bool
) -> None:
    """Of a busy account, three holds began and two ended within a second, each with its event."""
    tell(replace(REFUSED, by_secret=by_secret))
    still.now = NOW + 300
    assert tell(replace(WELL, took=301)) == Changes()
    assert len(tell(replace(WELL, took=300)).ended) == 1


def test_a_success_ends_a_refusal_that_began_before_the_clock_was_set_back(
    still: StillClock, tell: Tell
) -> None:
    tell(REFUSED)
    still.now = NOW - 1
    assert len(tell(replace(WELL, took=300)).ended) == 1


def test_what_went_well_ends_no_pause(still: StillClock, tell: Tell) -> None:
    pause(still, scope="account")
    assert tell(WELL) == Changes()
    assert holds(still).keys() == {"account/paused"}


def test_while_another_secret_is_good_deadlines_run(still: StillClock, tell: Tell) -> None:
    put_worker(still, "w1", "mine")
    put_worker(still, "w2", "other")
    tell(replace(REFUSED, by_secret=True))
    hold = holds(still)["account/refused/mine"]
    assert (hold["secret"], hold["any"]) == ("mine", True)
    assert KEYS.still not in still.all()
    # The other secret is refused, too.
    put_hold(still.redis, KEYS, "account/refused/other", secret="other", any=True)
    still.redis.delete(KEYS.still)
    pause(still, scope="email")
    assert still.all()[KEYS.still].keys() == {"account", "sms", "email"}
    # Once a secret is good again, deadlines run again, except those of the paused channel.
    still.now = NOW + 5
    assert len(tell(WELL).ended) == 1
    assert holds(still).keys() == {"account/refused/other", "email/paused"}
    assert still.all()[KEYS.still] == {"email": str(NOW), "account:sum": "5", "sms:sum": "5"}


@pytest.mark.parametrize(
    ("secret", "seen", "stands"),
    [("other", NOW - 999, False), ("other", NOW - 1000, True), ("mine", NOW, True)],
)
def test_only_a_living_worker_with_another_secret_can_go_on(
    still: StillClock, tell: Tell, secret: str, seen: int, *, stands: bool
) -> None:
    put_worker(still, "w2", secret, seen)
    still.redis.hset(KEYS.workers, mapping={"w3": "no JSON", "w4": "7", "w5": "{}"})
    still.redis.zadd(KEYS.heartbeats, {"w3": NOW + 5, "w4": NOW + 5, "w5": NOW + 5})
    tell(replace(REFUSED, by_secret=True))
    assert (KEYS.still in still.all()) is stands


def test_another_secret_s_success_ends_no_refusal_of_this_one(still: StillClock, tell: Tell) -> None:
    put_hold(still.redis, KEYS, "account/refused/other", secret="other", any=True)
    tell(WELL)
    assert holds(still).keys() == {"account/refused/other"}
