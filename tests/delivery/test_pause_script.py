"""The events of a pause, and how it stops the clock of deadlines."""

from __future__ import annotations

from actors.event_data import AccountReleased
from tests.harness.records import (
    DAY_MS,
    KEYS,
    events,
    holds,
    pause,
)
from tests.harness.still_clock import NOW, StillClock


def test_an_operator_s_pause_is_told_and_stops_the_clock(still: StillClock) -> None:
    assert pause(still) == 1
    assert pause(still) == 0
    [hold] = holds(still).values()
    assert hold.pop("worker").count(":") == 1
    assert holds(still).keys() == {"sms/paused"}
    assert hold == {"scope": "sms", "kind": "paused", "code": "", "message": "rest", "since": NOW}
    [event] = events(still)
    worker = event["data"].pop("worker")
    assert worker
    assert event == {
        "specversion": "1.0",
        "id": f"account.held/sms/paused/{NOW}123",
        "source": "/coupontools-worker",
        "type": "coupontools.account.held",
        "time": "2027-01-15T08:00:00.789Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:coupontools-worker:account.held:v1",
        "data": {"scope": "sms", "kind": "paused", "code": None, "message": "rest", "retry_at": None},
    }
    assert still.all()[KEYS.still] == {"sms": str(NOW)}


def test_the_end_of_a_pause_is_told_and_the_time_that_stood_still_is_kept(still: StillClock) -> None:
    assert pause(still, "resume") == 0
    pause(still)
    still.now = NOW + 5000
    assert pause(still, "resume") == 1
    assert pause(still, "resume") == 0
    found = still.all()
    assert KEYS.holds not in found
    assert found[KEYS.still] == {"sms:sum": "5000"}
    assert found[KEYS.held("sms")] == {f"{NOW}:{NOW + 5000}:5000": NOW + 5000}
    event = events(still)[1]
    assert event["type"] == "coupontools.account.released"
    assert event["dataschema"] == "urn:coupontools-worker:account.released:v1"
    event["data"].pop("worker")
    assert event["data"] == {
        "scope": "sms",
        "kind": "paused",
        "code": None,
        "message": "work goes on",
        "retry_at": None,
    }
    # The published schema shows the same.
    [example] = AccountReleased.examples
    assert example == event["data"] | {"scope": "account", "kind": "refused", "worker": example["worker"]}
    # The time of the next pause is added.
    pause(still)
    still.now = NOW + 5700
    pause(still, "resume")
    assert still.all()[KEYS.still] == {"sms:sum": "5700"}
    assert f"{NOW + 5000}:{NOW + 5700}:5700" in still.all()[KEYS.held("sms")]


def test_what_holds_the_account_stops_the_clock_of_both_channels(still: StillClock) -> None:
    pause(still, scope="account")
    assert still.all()[KEYS.still] == {"account": str(NOW), "sms": str(NOW), "email": str(NOW)}
    still.now = NOW + 10
    pause(still, scope="sms")
    still.now = NOW + 30
    pause(still, "resume", scope="account")
    # The channel is still held, and its time counts once however many holds there are.
    assert still.all()[KEYS.still] == {"sms": str(NOW), "account:sum": "30", "email:sum": "30"}
    still.now = NOW + 60
    pause(still, "resume", scope="sms")
    assert still.all()[KEYS.still]["sms:sum"] == "60"


def test_time_that_stood_still_is_forgotten_after_a_year(still: StillClock) -> None:
    edge = NOW - 366 * DAY_MS
    still.redis.zadd(KEYS.held("sms"), {"old": edge, "young": edge + 1})
    pause(still)
    pause(still, "resume")
    assert still.all()[KEYS.held("sms")].keys() == {"young", f"{NOW}:{NOW}:0"}


def test_of_times_that_stood_still_ten_thousand_are_kept(still: StillClock) -> None:
    still.redis.zadd(KEYS.held("sms"), {f"n{number}": NOW - number for number in range(10_002)})
    pause(still)
    pause(still, "resume")
    assert still.redis.zcard(KEYS.held("sms")) == 10_000
    assert "n0" in still.all()[KEYS.held("sms")]


def test_a_clock_that_was_set_back_takes_nothing_from_the_time_that_stood_still(still: StillClock) -> None:
    pause(still)
    still.now = NOW - 5000
    pause(still, "resume")
    assert still.all()[KEYS.still] == {"sms:sum": "0"}
    assert still.all()[KEYS.held("sms")] == {f"{NOW - 5000}:{NOW - 5000}:0": NOW - 5000}
