"""Which messages unpark.lua brings back when a hold is over, and which it lets out to probe while the hold lasts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from config.keys import Keys
from delivery import unparking
from tests.harness.holds import put_hold
from tests.harness.still_clock import NOW, StillClock

KEYS = Keys()
CONTACTS = KEYS.queue("contacts").delayed
LET_OUT_AGAIN_MS, ANY_AFTER_MS = 1000, 600_000


def park(
    still: StillClock,
    hold: str,
    *ids: str,
    queue: str = "contacts",
    call: str = "sms/add_contact",
    first: int = 1,
) -> str:
    """Park these messages, enqueued one after the other; return their place."""
    place = f"{hold}|{queue}|{call}"
    still.redis.sadd(KEYS.parked, place)
    still.redis.zadd(f"{KEYS.parked}:{place}", {each: first + number for number, each in enumerate(ids)})
    return f"{KEYS.parked}:{place}"


def unpark(still: StillClock, *, busy: bool = True) -> tuple[int, dict[str, Any]]:
    """Run the script once; return how many messages came back, and which holds began and ended."""
    moved, changes = still.ask(*unparking(KEYS, 1000, busy=busy))
    return moved, {word: [hold["kind"] for hold in its] for word, its in json.loads(changes or "{}").items()}


def holds(still: StillClock) -> dict[str, Any]:
    return {name: json.loads(text) for name, text in still.all().get(KEYS.holds, {}).items()}


def delayed(still: StillClock, queue: str = "contacts") -> dict[str, float]:
    found: dict[str, float] = still.all().get(KEYS.queue(queue).delayed, {})
    return found


# -- What comes back ------------------------------------------------------------------------------------------------------------------


def test_what_a_hold_that_is_over_has_parked_comes_back_in_its_order(still: StillClock) -> None:
    park(still, "sms/paused", "a", "b")
    park(still, "sms/paused", "c", queue="bulk", first=9)
    park(still, "email/paused", "held")
    put_hold(still.redis, KEYS, "email/paused")
    assert unpark(still) == (3, {})
    assert delayed(still) == {"a": 1, "b": 2}
    assert delayed(still, "bulk") == {"c": 9}
    assert still.all()[KEYS.parked] == {"email/paused|contacts|sms/add_contact"}
    assert [key for key in still.all() if key.startswith(f"{KEYS.parked}:")] == [
        f"{KEYS.parked}:email/paused|contacts|sms/add_contact"
    ]


def test_what_names_no_place_keeps_nobody(still: StillClock) -> None:
    park(still, "sms/paused", "a")
    still.redis.sadd(KEYS.parked, "no place", "a|b")
    assert unpark(still) == (1, {})
    assert delayed(still) == {"a": 1}


def test_nobody_waits_for_the_clock_of_a_producer_that_is_ahead(still: StillClock) -> None:
    park(still, "sms/paused", "a", "b", first=NOW)
    assert unpark(still) == (2, {})
    assert delayed(still) == {"a": NOW, "b": NOW}


def test_five_hundred_come_back_at_once(still: StillClock) -> None:
    place = park(still, "sms/paused", *(f"a{number}" for number in range(300)))
    park(still, "sms/paused", *(f"b{number}" for number in range(300)), queue="bulk")
    park(still, "sms/paused", "c", "d", queue="reads")
    assert unpark(still)[0] == 500
    # The places are emptied in the order of their names, until five hundred have come back.
    assert (len(delayed(still, "bulk")), len(delayed(still)), len(delayed(still, "reads"))) == (300, 200, 0)
    assert still.redis.zcard(place) == 100
    assert unpark(still)[0] == 102
    assert KEYS.parked not in still.all()
    assert unpark(still) == (0, {})


def test_an_empty_parking_place_is_none(still: StillClock) -> None:
    still.redis.sadd(KEYS.parked, "sms/paused|contacts|sms/add_contact")
    assert unpark(still) == (0, {})
    assert still.all() == {}


@pytest.mark.parametrize("other", [True, False])
def test_what_every_secret_s_refusal_parked_comes_back_for_workers_that_have_another(
    still: StillClock, *, other: bool
) -> None:
    for name, secret in (("w1", "mine"), ("w2", "other" if other else "mine")):
        still.redis.hset(KEYS.workers, name, json.dumps({"secret": secret, "silence_ms": 1000}))
        still.redis.zadd(KEYS.heartbeats, {name: NOW})
    put_hold(still.redis, KEYS, "account/refused/mine", secret="mine", any=True, retry_at=NOW + 900)
    park(still, "account/refused/mine", "a")
    assert unpark(still)[0] == int(other)
    assert (delayed(still) == {"a": 1}) is other


# -- Holds that end by themselves ----------------------------------------------------------------------------------------------------------


def test_the_hold_of_a_secret_that_nobody_uses_any_more_ends(still: StillClock) -> None:
    put_hold(still.redis, KEYS, "account/refused/old", secret="old", any=True, retry_at=NOW + 900)
    # No worker says which secret it uses, so nobody knows whether this one is used.
    assert unpark(still) == (0, {})
    still.redis.hset(KEYS.workers, "w1", json.dumps({"secret": "mine", "silence_ms": 1000}))
    still.redis.zadd(KEYS.heartbeats, {"w1": NOW})
    assert unpark(still) == (0, {"ended": ["refused"]})
    assert holds(still) == {}


@pytest.mark.parametrize(
    ("retry_at", "ends"), [(NOW, True), (NOW + 1, False), (NOW + 20_000, False), (NOW + 20_001, True)]
)
def test_a_pause_that_the_api_asked_for_ends_by_itself(
    still: StillClock, retry_at: int, *, ends: bool
) -> None:
    """So does a pause with more time left than it lasts: the clock was set back since."""
    put_hold(still.redis, KEYS, "account/asked", retry_at=retry_at, length=20_000)
    park(still, "account/asked", "a")
    assert unpark(still) == ((1, {"ended": ["asked"]}) if ends else (0, {}))


@pytest.mark.parametrize(
    ("busy", "parked", "retry_at", "ends"),
    [
        (False, False, NOW, True),
        (True, False, NOW, False),
        (False, True, NOW, False),
        (False, False, NOW + 1, False),
    ],
)
def test_an_outage_that_nobody_is_left_to_find_out_about_ends(
    still: StillClock, retry_at: int, *, busy: bool, parked: bool, ends: bool
) -> None:
    put_hold(still.redis, KEYS, "account/outage", retry_at=retry_at)
    if parked:
        put_hold(still.redis, KEYS, "email/paused")
        park(still, "email/paused", "a")
    assert unpark(still, busy=busy) == (0, {"ended": ["outage"]} if ends else {})


@pytest.mark.parametrize(
    ("name", "since_due", "parked", "ends"),
    [
        ("sms/outage/create_group", 60_000, None, True),
        ("sms/outage/create_group", 59_999, None, False),
        # A probe is under way, or due soon.
        ("sms/outage/create_group", -1, None, False),
        ("sms/outage/create_group", 60_000, "sms/outage/create_group", False),
        # This kind of call comes again when the other hold is over.
        ("sms/outage/create_group", 60_000, "sms/paused", False),
        ("sms/outage/create_group", 60_000, "account/outage", False),
        # These are calls of another kind.
        ("sms/outage/create_group", 60_000, "email/paused", True),
        # Any job that keeps the workers busy would probe an outage of all calls.
        ("account/outage", 60_000, None, False),
    ],
)
def test_an_outage_of_a_kind_of_call_that_nobody_makes_any_more_ends_under_load(
    still: StillClock, name: str, since_due: int, parked: str | None, *, ends: bool
) -> None:
    """While other jobs kept the workers busy, the channel was told to be held for good, and no later outage of it was told."""
    put_hold(
        still.redis,
        KEYS,
        name,
        retry_at=NOW - since_due,
        call_only=name != "account/outage",
        call="sms/create_group",
    )
    if parked:
        kind = "email/create_group" if parked.startswith("email") else "sms/create_group"
        park(still, parked, "a", queue="groups", call=kind)
        if parked != name:
            put_hold(still.redis, KEYS, parked)
    _, changes = unpark(still, busy=True)
    assert changes == ({"ended": ["outage"]} if ends else {})
    assert (name in holds(still)) is not ends


def test_an_outage_waits_a_minute_for_calls_that_another_hold_had_parked(still: StillClock) -> None:
    """It ended before they were back on their queue: all of them called at once then, and not one as the probe."""
    name = "sms/outage/create_group"
    put_hold(still.redis, KEYS, name, retry_at=NOW - 60_000, call_only=True, call="sms/create_group")
    put_hold(still.redis, KEYS, "sms/paused")
    park(still, "sms/paused", "a", queue="groups", call="sms/create_group")
    unpark(still)
    still.redis.hdel(KEYS.holds, "sms/paused")
    assert unpark(still) == (1, {})
    still.now += 59_999
    assert unpark(still) == (0, {})
    still.now += 1
    assert unpark(still) == (0, {"ended": ["outage"]})


def test_a_refusal_and_a_pause_last_though_nobody_waits(still: StillClock) -> None:
    put_hold(still.redis, KEYS, "sms/refused")
    put_hold(still.redis, KEYS, "sms/paused")
    put_hold(still.redis, KEYS, "email/refused", bare=True, about="x")
    assert unpark(still, busy=False) == (0, {})
    assert holds(still).keys() == {"sms/refused", "sms/paused", "email/refused"}
    # After a refusal without a code, the first job that comes is another call anyway.
    assert "any" not in holds(still)["email/refused"]


def test_a_hold_whose_event_was_refused_is_told_of_later(still: StillClock) -> None:
    put_hold(still.redis, KEYS, "sms/paused", untold=True)
    assert unpark(still) == (0, {"began": ["paused"]})
    assert unpark(still) == (0, {})
    assert [entry["type"] for entry in still.all()[KEYS.events]] == ["coupontools.account.held"]
    assert "untold" not in holds(still)["sms/paused"]


def test_whether_deadlines_stand_still_may_change_with_the_workers_that_live(still: StillClock) -> None:
    put_hold(still.redis, KEYS, "account/refused/mine", secret="mine", any=True, retry_at=NOW + 900)
    still.redis.delete(KEYS.still)
    unpark(still)
    assert still.all()[KEYS.still].keys() == {"account", "sms", "email"}
    still.redis.hset(
        KEYS.workers, mapping={n: json.dumps({"secret": n, "silence_ms": 1000}) for n in ("mine", "other")}
    )
    still.redis.zadd(KEYS.heartbeats, {"mine": NOW, "other": NOW})
    unpark(still)
    assert still.all()[KEYS.still].keys() == {"account:sum", "sms:sum", "email:sum"}


# -- Probes --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_at", "out"), [(NOW, True), (NOW + 1, False), (NOW + 3_660_000, False), (NOW + 3_660_001, True)]
)
def test_when_a_hold_s_time_has_come_one_is_let_out(still: StillClock, retry_at: int, *, out: bool) -> None:
    place = park(still, "sms/refused", "a", "b")
    put_hold(still.redis, KEYS, "sms/refused", retry_at=retry_at)
    for _ in range(2):
        # The second run lets nobody out: the first message has a moment to probe.
        assert unpark(still) == (0, {})
        assert delayed(still) == ({"a": 1} if out else {})
    assert still.redis.zcard(place) == (1 if out else 2)
    hold = holds(still)["sms/refused"]
    assert (hold.get("let_out"), hold.get("letting")) == ((NOW, 1) if out else (None, None))
    assert "any" not in hold, "there is one of the refused kind to probe"


def test_who_was_let_out_and_does_not_probe_is_followed_by_twice_as_many(still: StillClock) -> None:
    ids = [f"a{number:04d}" for number in range(1000)]
    park(still, "sms/refused", *ids)
    put_hold(still.redis, KEYS, "sms/refused")
    out = 0
    for letting in (1, 2, 4, 8, 16, 32, 64, 128, 256, 256):
        unpark(still)
        out += letting
        assert delayed(still).keys() == set(ids[:out])
        still.now += LET_OUT_AGAIN_MS - 1
        unpark(still)
        assert len(delayed(still)) == out
        still.now += 1


def test_whoever_was_let_out_in_the_future_is_followed_at_once(still: StillClock) -> None:
    park(still, "sms/refused", "a")
    put_hold(still.redis, KEYS, "sms/refused", let_out=NOW + 1, letting=1)
    unpark(still)
    assert delayed(still) == {"a": 1}


@pytest.mark.parametrize(
    ("name", "fields", "first"),
    [
        # A refusal with a code concerns one kind of call.
        ("sms/refused", {}, "same"),
        ("sms/refused", {"any": True}, "same"),
        # A refusal without a code perhaps concerns only that very call.
        ("sms/refused", {"bare": True, "about": "x"}, "other"),
        ("sms/outage/add_contact", {}, "same"),
    ],
)
def test_whom_a_hold_lets_out_first(still: StillClock, name: str, fields: dict[str, Any], first: str) -> None:
    park(still, name, "other", queue="groups", call="sms/create_group")
    park(still, name, "same")
    park(still, "email/paused", "of another hold", queue="bulk")
    put_hold(still.redis, KEYS, "email/paused")
    put_hold(still.redis, KEYS, name, **fields)
    unpark(still)
    assert delayed(still) | delayed(still, "groups") == {first: 1}


@pytest.mark.parametrize(
    ("fields", "out"), [({}, False), ({"any": True}, True), ({"bare": True, "about": "x"}, True)]
)
def test_a_refused_kind_of_call_is_not_probed_by_another_before_it_may(
    still: StillClock, fields: dict[str, Any], *, out: bool
) -> None:
    park(still, "sms/refused", "other", queue="groups", call="sms/create_group")
    put_hold(still.redis, KEYS, "sms/refused", **{"since": NOW, **fields})
    unpark(still)
    assert bool(delayed(still, "groups")) is out


@pytest.mark.parametrize(("since", "any_may"), [(NOW - ANY_AFTER_MS, True), (NOW - ANY_AFTER_MS + 1, False)])
def test_when_nobody_makes_that_kind_of_call_any_more_any_may_probe(
    still: StillClock, since: int, *, any_may: bool
) -> None:
    park(still, "sms/refused", "other", queue="groups", call="sms/create_group")
    put_hold(still.redis, KEYS, "sms/refused", since=since)
    unpark(still)
    assert (holds(still)["sms/refused"].get("any"), bool(delayed(still, "groups"))) == (
        True if any_may else None,
        any_may,
    )


def live(still: StillClock, name: str = "w1", **says: Any) -> None:
    """Let a worker live."""
    still.redis.hset(KEYS.workers, name, json.dumps({"silence_ms": 1000, **says}))
    still.redis.zadd(KEYS.heartbeats, {name: NOW})


@pytest.mark.parametrize(
    ("says", "out"),
    [
        ({"queues": ["contacts"]}, "taken"),
        ({"queues": ["contacts", "bulk"]}, "bulk"),
        ({"queues": ["bulk"]}, "bulk"),
        ({"queues": []}, None),
        # A worker that does not name its queues may take any.
        ({}, "bulk"),
        ({"queues": "contacts"}, "bulk"),
    ],
)
@pytest.mark.parametrize("name", ["sms/refused", "sms/outage/add_contact"])
def test_nobody_is_let_out_to_probe_into_a_queue_that_no_worker_takes(
    still: StillClock, name: str, says: dict[str, Any], out: str | None
) -> None:
    live(still, **says)
    park(still, name, "bulk", queue="bulk")
    park(still, name, "taken")
    put_hold(still.redis, KEYS, name)
    unpark(still)
    assert delayed(still) | delayed(still, "bulk") == ({out: 1} if out else {})
    # When the hold is over, all messages come back.
    still.redis.delete(KEYS.holds)
    assert unpark(still)[0] == (1 if out else 2)


@pytest.mark.parametrize(
    ("paused", "out"), [("sms/paused", "email"), ("account/paused", None), ("email/paused", "sms")]
)
def test_nobody_is_let_out_to_probe_whom_an_operator_holds(
    still: StillClock, paused: str, out: str | None
) -> None:
    """It would be parked for the operator's hold, and the others would wait until all jobs of its kind are parked there."""
    park(still, "account/refused", "sms", queue="bulk")
    park(still, "account/refused", "email", call="email/add_contact")
    put_hold(still.redis, KEYS, "account/refused", since=NOW - ANY_AFTER_MS)
    put_hold(still.redis, KEYS, paused)
    unpark(still)
    assert delayed(still) | delayed(still, "bulk") == ({out: 1} if out else {})
    # If nobody can probe at all, the hold stays as it is until somebody can.
    assert ("any" in holds(still)["account/refused"]) is (paused == "sms/paused")


def test_a_refused_kind_that_an_operator_holds_is_not_given_up_before_its_time(still: StillClock) -> None:
    """The workers of that kind are alive, and one of its jobs may probe as soon as the pause is over."""
    park(still, "account/refused", "sms")
    park(still, "account/refused", "email", call="email/add_contact")
    put_hold(still.redis, KEYS, "account/refused", since=NOW - 1)
    put_hold(still.redis, KEYS, "sms/paused")
    unpark(still)
    assert delayed(still) == {}
    assert "any" not in holds(still)["account/refused"]
    still.redis.hdel(KEYS.holds, "sms/paused")
    unpark(still)
    assert delayed(still) == {"sms": 1}


def test_a_dead_worker_takes_no_queue(still: StillClock) -> None:
    live(still, queues=["contacts"])
    live(still, "dead", queues=["bulk"])
    still.redis.zadd(KEYS.heartbeats, {"dead": NOW - 1000})
    park(still, "sms/refused", "bulk", queue="bulk")
    put_hold(still.redis, KEYS, "sms/refused", since=NOW)
    unpark(still)
    assert delayed(still, "bulk") == {}
    still.redis.zadd(KEYS.heartbeats, {"dead": NOW - 999})
    unpark(still)
    assert delayed(still, "bulk") == {"bulk": 1}


@pytest.mark.parametrize(
    ("queues", "any_may"), [(["groups"], True), (["groups", "bulk"], False), (["contacts", "groups"], False)]
)
def test_when_the_only_workers_of_the_refused_kind_are_gone_any_may_probe(
    still: StillClock, queues: list[str], *, any_may: bool
) -> None:
    """Otherwise the account might work again, and all other work would still wait until ten minutes after the hold began."""
    live(still, queues=queues)
    for queue in ("bulk", "contacts"):
        park(still, "account/refused", f"refused {queue}", queue=queue)
    park(still, "account/refused", "other", queue="groups", call="sms/create_group")
    put_hold(still.redis, KEYS, "account/refused", since=NOW - 1)
    unpark(still)
    assert (holds(still)["account/refused"].get("any"), bool(delayed(still, "groups"))) == (
        True if any_may else None,
        any_may,
    )


def test_whose_queue_no_worker_takes_keeps_nobody_else_from_probing(still: StillClock) -> None:
    """It stops neither another kind of call after a refusal with a code, nor the refused kind after a refusal without one."""
    live(still, queues=["groups"])
    park(still, "sms/refused", "refused", queue="bulk")
    park(still, "sms/refused", "other", queue="groups", call="sms/create_group")
    put_hold(still.redis, KEYS, "sms/refused", since=NOW - ANY_AFTER_MS)
    unpark(still)
    assert (delayed(still, "bulk"), delayed(still, "groups")) == ({}, {"other": 1})
    still.redis.flushall()
    live(still, queues=["contacts"])
    park(still, "sms/refused", "refused")
    park(still, "sms/refused", "other", queue="groups", call="sms/create_group")
    put_hold(still.redis, KEYS, "sms/refused", bare=True, about="x")
    unpark(still)
    assert (delayed(still), delayed(still, "groups")) == ({"refused": 1}, {})
    assert "others" not in holds(still)["sms/refused"]


@pytest.mark.parametrize(
    ("left", "letting", "any_may"),
    [
        (1, {}, True),
        (2, {}, False),
        (1, {"letting": 1}, True),
        (2, {"letting": 1}, False),
        (2, {"letting": 2}, True),
        (3, {"letting": 2}, False),
    ],
)
def test_when_only_the_refused_call_is_left_it_may_probe(
    still: StillClock, left: int, letting: dict[str, int], *, any_may: bool
) -> None:
    park(still, "sms/refused", *(f"a{number}" for number in range(left)))
    put_hold(still.redis, KEYS, "sms/refused", bare=True, about="x", **letting)
    unpark(still)
    assert holds(still)["sms/refused"].get("any") == (True if any_may else None)
    assert delayed(still), "one of its kind is let out all the same: it may be another call"


def test_where_others_wait_the_refused_kind_leaves_the_probe_to_them(still: StillClock) -> None:
    """Otherwise a flood of the refused kind would win every probe."""
    park(still, "sms/refused", "same")
    park(still, "sms/refused", "other", queue="groups", call="sms/create_group")
    put_hold(still.redis, KEYS, "sms/refused", bare=True, about="x")
    unpark(still)
    assert holds(still)["sms/refused"].get("others") is True
    assert delayed(still, "groups") == {"other": 1}
    # The other job has a moment to probe; then it is the turn of the refused kind again.
    still.now = NOW + LET_OUT_AGAIN_MS - 1
    unpark(still)
    assert holds(still)["sms/refused"].get("others") is True
    still.now = NOW + LET_OUT_AGAIN_MS
    unpark(still)
    assert "others" not in holds(still)["sms/refused"]
    assert delayed(still) == {"same": 1}


def test_when_others_have_come_not_anybody_may_probe_any_more(still: StillClock) -> None:
    park(still, "sms/refused", "other", queue="groups", call="sms/create_group")
    put_hold(still.redis, KEYS, "sms/refused", bare=True, about="x", any=True, retry_at=NOW + 900)
    unpark(still)
    hold = holds(still)["sms/refused"]
    assert (hold.get("others"), "any" in hold) == (True, False)


def test_each_probe_of_a_refusal_without_a_code_is_taken_far_from_those_before(still: StillClock) -> None:
    """Neighbours are often contacts of one group, and the API may refuse all calls for that group."""
    for tried, rank in (
        ({}, 0),
        ({"tried": 1}, 61),
        ({"tried": 2}, 23),
        ({"tried": 3}, 85),
        ({"tried": 4}, 47),
    ):
        still.redis.flushall()
        park(still, "sms/refused", *(f"a{number:02d}" for number in range(100)))
        put_hold(still.redis, KEYS, "sms/refused", bare=True, about="x", **tried)
        unpark(still)
        assert list(delayed(still)) == [f"a{rank:02d}"]


def test_a_probe_is_found_at_the_end_of_a_place_too(still: StillClock) -> None:
    park(still, "sms/refused", "a", "b", "c")
    put_hold(still.redis, KEYS, "sms/refused", bare=True, about="x", tried=3, letting=1)
    unpark(still)
    # 0.85 of three is the third message. Two are let out, so they begin one earlier.
    assert delayed(still).keys() == {"b", "c"}


def test_where_fewer_are_left_than_may_probe_all_of_them_are_let_out(still: StillClock) -> None:
    park(still, "sms/refused", "a", "b", "c")
    put_hold(still.redis, KEYS, "sms/refused", bare=True, about="x", tried=3, letting=2)
    unpark(still)
    assert delayed(still).keys() == {"a", "b", "c"}


@pytest.mark.parametrize(("tried", "let_out"), [(0, "bad"), (1, "worse"), (2, "bad"), (3, "good")])
def test_each_probe_of_a_kind_of_call_that_fails_is_another(
    still: StillClock, tried: int, let_out: str
) -> None:
    """Some jobs may fail while others would pass, and come back to the first places before the next probe."""
    park(still, "sms/outage/add_contact", "bad", "worse", "good")
    put_hold(still.redis, KEYS, "sms/outage/add_contact", call_only=True, call="sms/add_contact", tried=tried)
    unpark(still)
    assert list(delayed(still)) == [let_out]


def test_a_refusal_with_a_code_lets_out_the_oldest(still: StillClock) -> None:
    park(still, "sms/refused", "a", "b", "c")
    put_hold(still.redis, KEYS, "sms/refused", tried=3)
    unpark(still)
    assert delayed(still) == {"a": 1}


def test_an_outage_that_lasts_is_no_refusal(still: StillClock) -> None:
    """Any job may probe an outage from the first; a refusal only once no job of the refused kind is left."""
    put_hold(still.redis, KEYS, "sms/outage/add_contact", since=NOW - ANY_AFTER_MS)
    put_hold(still.redis, KEYS, "email/paused")
    park(still, "email/paused", "held")
    before = holds(still)
    assert unpark(still) == (0, {})
    assert holds(still) == before
