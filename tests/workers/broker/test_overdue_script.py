"""Which messages overdue.lua looks at, in which turn, and which it brings forward; to the millisecond."""

from __future__ import annotations

import json
from typing import Any

import pytest

from config.keys import Keys
from config.names import QUEUES
from tests.harness.still_clock import NOW, StillClock
from workers.broker.scripts import SCRIPTS

KEYS = Keys()
CONTACTS = KEYS.queue("contacts")
DAY_MS = 86_400_000
PATIENCE_MS, LONGEST_MS = 1000, 50_000
PLACE = "sms/outage/add_contact|contacts|sms/add_contact"
PARKED = f"{KEYS.parked}:{PLACE}"


def look(still: StillClock, most: int = 100, worker: str = "w1") -> Any:
    """Look at ``most`` waiting messages; return after how many ms to ask again, and how many were brought forward."""
    keys = [KEYS.sweep, KEYS.parked, KEYS.holds, KEYS.cancelled]
    for queue in map(KEYS.queue, QUEUES):
        keys += [queue.ready, queue.bodies, queue.delayed, queue.forward]
    return still.ask(SCRIPTS["overdue"], keys, [worker, PATIENCE_MS, most, LONGEST_MS, *QUEUES])


def put(
    still: StillClock, name: str, since: Any = NOW, where: Any = None, queue: str = "contacts", **fields: Any
) -> None:
    """Put a message into the list; ``where`` may be the time when it is due instead, or `parked`."""
    its = KEYS.queue(queue)
    body = {"message_id": f"m-{name}", "message_timestamp": since, "options": {}, "kwargs": {}, **fields}
    still.redis.hset(its.bodies, name, json.dumps(body))
    if where is None:
        still.redis.rpush(its.ready, name)
    elif where == "parked":
        still.redis.sadd(KEYS.parked, PLACE)
        still.redis.zadd(PARKED, {name: since})
    else:
        still.redis.zadd(its.delayed, {name: where})


def hold(still: StillClock, kind: str) -> None:
    still.redis.hset(KEYS.holds, PLACE.split("|", maxsplit=1)[0], json.dumps({"kind": kind}))


def cancel(still: StillClock, *marks: str) -> None:
    still.redis.hset(KEYS.cancelled, mapping=dict.fromkeys(marks, str(NOW)))


def delayed(still: StillClock) -> Any:
    return still.all().get(CONTACTS.delayed, {})


def test_one_worker_at_a_time_looks(still: StillClock) -> None:
    assert look(still) == [250, 0]
    assert still.all() == {KEYS.sweep: {"owner": "w1", "until": str(NOW + 2000)}}
    still.now = NOW + 1
    assert look(still, worker="w2") == [1999, 0]
    assert look(still) == [250, 0]
    assert still.all()[KEYS.sweep]["until"] == str(NOW + 2001)


@pytest.mark.parametrize("until", [NOW, NOW + 2001])
def test_an_owner_whose_time_is_over_or_cannot_be_is_followed(still: StillClock, until: int) -> None:
    still.redis.hset(KEYS.sweep, mapping={"owner": "w2", "until": until})
    assert look(still) == [250, 0]
    assert still.all()[KEYS.sweep]["owner"] == "w1"
    still.redis.hset(KEYS.sweep, mapping={"owner": "w2", "until": NOW + 2000})
    assert look(still) == [2000, 0]


@pytest.mark.parametrize(
    ("since", "fields", "late"),
    [
        (NOW - PATIENCE_MS, {}, True),
        (NOW - PATIENCE_MS + 1, {}, False),
        (NOW - 5000, {"kwargs": {"deadline_seconds": 5}}, True),
        (NOW - 4999, {"kwargs": {"deadline_seconds": 5}}, False),
        (NOW - 500, {"kwargs": {"deadline_seconds": 0.5}}, True),
        (NOW - PATIENCE_MS, {"kwargs": {"deadline_seconds": 0}}, True),
        (NOW - PATIENCE_MS + 1, {"kwargs": {"deadline_seconds": 0}}, False),
        (NOW - PATIENCE_MS, {"kwargs": {"deadline_seconds": "5"}}, True),
        (NOW - PATIENCE_MS, {"kwargs": 7, "options": 7}, True),
        # The deadline of a delayed message is counted from the end of its delay.
        (NOW - 9999, {"options": {"eta": NOW - PATIENCE_MS}}, True),
        (NOW - 9999, {"options": {"eta": NOW - PATIENCE_MS + 1}}, False),
        (NOW - PATIENCE_MS, {"options": {"eta": 5}}, True),
        (NOW - PATIENCE_MS, {"options": {"eta": str(NOW)}}, True),
        (str(NOW - 9999), {}, False),
        (NOW - 9999, {"x": "y" * 65_536}, False),
    ],
)
@pytest.mark.parametrize("where", [None, NOW - 1, "parked"])
def test_what_is_overdue_is_due_before_all_others(
    still: StillClock, since: Any, fields: dict[str, Any], where: Any, *, late: bool
) -> None:
    if where == "parked" and isinstance(since, str):
        return
    hold(still, "outage")
    put(still, "a", since, where, **fields)
    assert look(still) == [250, int(late)]
    assert (delayed(still) == {"a": 1}) is late
    if late:
        assert PARKED not in still.all()


def test_what_is_no_json_object_is_left_to_whoever_fetches_it(still: StillClock) -> None:
    for name, body in (("a", "no JSON"), ("b", "[7]"), ("c", "7")):
        put(still, name)
        still.redis.hset(CONTACTS.bodies, name, body)
    still.redis.rpush(CONTACTS.ready, "no body")
    assert look(still) == [250, 0]
    assert delayed(still) == {}


def test_what_is_brought_forward_leaves_its_place_in_the_list_and_a_note_of_it(still: StillClock) -> None:
    put(still, "old", NOW - 9999)
    put(still, "new")
    assert look(still) == [250, 1]
    found = still.all()
    assert found[CONTACTS.ready] == ["old", "new"]
    assert found[CONTACTS.forward] == {"old"}
    assert found[CONTACTS.delayed] == {"old": 1}
    assert still.lives(CONTACTS.forward, 90 * DAY_MS)
    assert found[KEYS.sweep]["ready contacts"] == "2"
    # Only once: a message that its claim has put off since then waits for its time. The next look begins at the head again.
    still.redis.zadd(CONTACTS.delayed, {"old": NOW + 5})
    assert look(still) == [250, 0]
    assert "ready contacts" not in still.all()[KEYS.sweep]
    assert look(still) == [250, 1]
    assert delayed(still) == {"old": NOW + 5}


def test_what_is_due_already_keeps_its_time_when_the_list_has_it_too(still: StillClock) -> None:
    put(still, "a", NOW - 9999)
    still.redis.zadd(CONTACTS.delayed, {"a": NOW + 7})
    look(still)
    assert delayed(still) == {"a": NOW + 7}


def test_each_look_goes_on_where_the_last_one_ended(still: StillClock) -> None:
    for number in range(4):
        put(still, f"r{number}")
        put(still, f"d{number}", where=NOW - 9 + number)
    for place, looked in (("2", "2"), ("4", "4")):
        look(still, 4)
        sweep = still.all()[KEYS.sweep]
        assert (sweep["ready contacts"], sweep["due contacts"]) == (place, looked)


def test_how_far_a_parking_place_was_looked_at_is_forgotten_with_the_last_of_them(still: StillClock) -> None:
    """Each hold has places of its own, and each refused secret a hold."""
    hold(still, "outage")
    put(still, "here", NOW, "parked")
    put(still, "there")
    look(still)
    assert still.all()[KEYS.sweep][f"parked {PLACE}"] == "1"
    still.redis.delete(KEYS.parked, PARKED)
    look(still)
    assert still.all()[KEYS.sweep].keys() == {"owner", "until"}
    look(still)
    assert still.all()[KEYS.sweep].keys() == {"owner", "until", "ready contacts"}


def test_what_was_brought_forward_is_not_counted_as_a_step(still: StillClock) -> None:
    """The messages behind it have moved up, and would otherwise be passed over."""
    put(still, "old", NOW - 9999, where=NOW - 9999)
    put(still, "old too", NOW - 9999, where=NOW - 9998)
    put(still, "new", where=NOW - 9)
    assert look(still) == [250, 2]
    assert still.all()[KEYS.sweep]["due contacts"] == "1"


def test_what_a_place_leaves_of_its_share_is_for_those_that_have_more(still: StillClock) -> None:
    put(still, "other", queue="reads")
    for number in range(20):
        put(still, f"r{number}")
    look(still, 10)
    sweep = still.all()[KEYS.sweep]
    # The other queue's only message was looked at, and that queue is at its end.
    assert "ready reads" not in sweep
    assert sweep["ready contacts"] == "9"


def test_of_each_place_no_more_is_looked_at_than_its_share(still: StillClock) -> None:
    hold(still, "outage")
    for number in range(20):
        put(still, f"ready {number}")
        put(still, f"due {number}", where=NOW - 1)
        put(still, f"late {number}", where=NOW + LONGEST_MS)
        put(still, f"parked {number}", where="parked")
    look(still, 14 * 4)
    sweep = still.all()[KEYS.sweep]
    looked = {name: int(sweep[f"{name} contacts"]) for name in ("ready", "due", "late")}
    assert sum(looked.values()) + int(sweep[f"parked {PLACE}"]) == 14 * 4
    assert set(looked.values()) | {int(sweep[f"parked {PLACE}"])} == {14}


@pytest.mark.parametrize(
    ("kind", "cancelled", "moves"),
    [("outage", False, True), ("asked", False, True), ("refused", False, False), ("paused", False, False),
     ("refused", True, True), ("paused", True, True)],
)  # fmt: skip
def test_deadlines_stand_still_while_the_account_is_refused_or_paused(
    still: StillClock, kind: str, *, cancelled: bool, moves: bool
) -> None:
    hold(still, kind)
    put(still, "old", NOW - 9999, "parked")
    put(still, "called off", NOW, "parked")
    if cancelled:
        cancel(still, "m:m-called off")
    assert look(still) == [250, int(moves)]
    assert delayed(still) == ({"called off" if cancelled else "old": 1} if moves else {})
    assert still.all()[PARKED].keys() == {"old", "called off"} - delayed(still).keys()


def test_what_is_parked_for_a_hold_that_is_over_or_in_a_queue_of_others_is_looked_at_by_its_own(
    still: StillClock,
) -> None:
    put(still, "old", NOW - 9999, "parked")
    still.redis.sadd(KEYS.parked, "sms/paused|strange|sms/add_contact")
    assert look(still) == [250, 1]
    assert delayed(still) == {"old": 1}


@pytest.mark.parametrize(
    ("marks", "fields", "moves"),
    [
        (["m:m-a"], {}, True),
        (["b:spring"], {"kwargs": {"batch_id": "spring"}}, True),
        (["b:spring"], {"kwargs": {"batch_id": "summer"}}, False),
        (["m:m-b"], {}, False),
        # A message without a batch belongs neither to a batch named `nil`, as Lua writes a missing value, nor to one without a name.
        (["b:nil", "b:"], {}, False),
        # A job that may have been carried out has been brought forward already.
        (["m:m-a", "u:m-a"], {}, False),
        (["b:spring", "u:m-a"], {"kwargs": {"batch_id": "spring"}}, False),
        # A batch may have a name that in Lua means a missing value or a boolean.
        (["b:nil"], {"kwargs": {"batch_id": "nil"}}, True),
        (["b:nil"], {}, False),
        (["b:true"], {"kwargs": {"batch_id": True}}, False),
    ],
)
@pytest.mark.parametrize("where", [None, NOW - 1])
def test_what_is_cancelled_is_brought_forward(
    still: StillClock, marks: list[str], fields: dict[str, Any], where: int | None, *, moves: bool
) -> None:
    cancel(still, *marks)
    put(still, "a", NOW, where, **fields)
    assert look(still) == [250, int(moves)]
    assert (delayed(still) == {"a": 1}) is moves


@pytest.mark.parametrize("marks", [["b:spring"], ["m:m-old", "m:m-new"]])
def test_what_is_sent_under_an_id_that_was_cancelled_before_is_not_brought_forward(
    still: StillClock, marks: list[str]
) -> None:
    still.redis.hset(KEYS.cancelled, mapping=dict.fromkeys(marks, str(NOW - 1)))
    put(still, "new", NOW, kwargs={"batch_id": "spring"})
    put(still, "old", NOW - 1, kwargs={"batch_id": "spring"})
    assert look(still) == [250, 1]
    assert delayed(still) == {"old": 1}


def test_what_is_cancelled_while_it_waits_for_its_time_has_none_any_more(still: StillClock) -> None:
    """With its old time, the worker that fetches it would put it off again."""
    later = NOW + 777
    put(still, "a", NOW - 5, later, options={"eta": later, "x": 1})
    put(still, "b", NOW - 5, later, options={"eta": later})
    cancel(still, "m:m-a")
    assert look(still) == [250, 0]
    assert delayed(still) == {"a": NOW, "b": later}
    bodies = still.all()[CONTACTS.bodies]
    assert json.loads(bodies["a"])["options"] == {"eta": 0, "x": 1}
    assert json.loads(bodies["b"])["options"] == {"eta": later}


@pytest.mark.parametrize(
    ("since", "due", "moved"),
    [
        (NOW, NOW + LONGEST_MS + 1, True),
        (NOW, NOW + LONGEST_MS, False),
        (NOW - 700, NOW + LONGEST_MS + 1, True),
        # A producer may ask for a delay of any length.
        (NOW + 1, NOW + LONGEST_MS + 1, False),
    ],
)
def test_what_a_clock_ahead_has_put_off_is_due_when_it_was_sent(
    still: StillClock, since: int, due: int, *, moved: bool
) -> None:
    put(still, "a", since, due)
    assert look(still) == [250, 0]
    assert delayed(still) == {"a": since if moved else due}


def test_what_is_cancelled_is_not_put_off_too_far_by_a_clock_ahead(still: StillClock) -> None:
    put(still, "a", NOW - 5, NOW + LONGEST_MS + 1)
    cancel(still, "m:m-other")
    look(still)
    assert delayed(still) == {"a": NOW - 5}


def test_a_time_that_is_no_number_and_a_place_that_is_none_stop_no_look(still: StillClock) -> None:
    """A producer in Python may write NaN as a time."""
    put(still, "a", float("nan"), NOW + 777)
    put(still, "b", NOW - 9999)
    put(still, "c", NOW, NOW + 777)
    still.redis.sadd(KEYS.parked, "no place", "a|b")
    cancel(still, "m:m-a", "b:nil")
    assert look(still) == [250, 1]
    assert delayed(still) == {"a": NOW + 777, "b": 1, "c": NOW + 777}
