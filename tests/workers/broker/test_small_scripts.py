"""What the broker's small scripts leave in Redis, key by key: enqueueing, handing back, postponing, setting aside, dead letters."""

from __future__ import annotations

import json

import pytest
import redis

from tests.harness.still_clock import NOW, StillClock
from workers.broker.scripts import SCRIPTS

DAY_MS = 86_400_000
PUT_BACK = ["ready", "bodies", "delayed", "parked", "acks:1", "acks:2"]


def test_a_message_is_put_on_its_queue_once(still: StillClock) -> None:
    keys = ["ready", "bodies", "delayed"]
    assert still.ask(SCRIPTS["enqueue"], keys, ["a", "A", 0]) == 1
    assert still.ask(SCRIPTS["enqueue"], keys, ["b", "B", 77]) == 1
    assert still.ask(SCRIPTS["enqueue"], keys, ["a", "A", 0]) == 0
    assert still.all() == {"ready": ["a"], "bodies": {"a": "A", "b": "B"}, "delayed": {"b": 77}}


@pytest.mark.parametrize(("wrong", "due"), [("ready", 0), ("delayed", 77)])
def test_a_message_that_could_not_be_pushed_leaves_no_body(still: StillClock, wrong: str, due: int) -> None:
    """Otherwise a repeat would take the body for a message that is on its queue."""
    still.redis.set(wrong, "something else")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        still.ask(SCRIPTS["enqueue"], ["ready", "bodies", "delayed"], ["a", "A", due])
    assert still.all() == {wrong: "something else"}


def test_many_are_put_on_their_queues_and_counted_for_their_batch(still: StillClock) -> None:
    still.redis.set("answered:b", "+")
    still.redis.hset("bodies:2", "c", "C")
    keys = [
        "ready:1",
        "bodies:1",
        "answered:a",
        "marks",
        "ready:1",
        "bodies:1",
        "answered:b",
        "marks",
        "ready:2",
        "bodies:2",
        "answered:c",
        "marks",
    ]
    keys += ["ready:2", "bodies:2", "answered:d", "marks"]
    messages = ["a", "ma", "A", "b", "mb", "B", "c", "mc", "C", "d", "md", "D"]
    # The second message was answered before, and the third is on its queue already.
    assert (
        still.ask(SCRIPTS["enqueue_all"], [*keys, "batch"], [*messages, "spring", "contacts", 5 * DAY_MS])
        == 2
    )
    assert still.all() == {
        "answered:b": "+",
        "ready:1": ["a"],
        "bodies:1": {"a": "A"},
        "ready:2": ["d"],
        "bodies:2": {"c": "C", "d": "D"},
        "batch": {"id": "spring", "imports": "contacts", "began_at": str(NOW), "enqueued": "2"},
    }
    assert still.lives("batch", 5 * DAY_MS)
    assert (
        still.ask(SCRIPTS["enqueue_all"], [*keys, "batch"], [*messages, "spring", "contacts", 5 * DAY_MS])
        == 0
    )
    assert still.all()["batch"] == {
        "id": "spring",
        "imports": "contacts",
        "began_at": str(NOW),
        "enqueued": "2",
    }


def test_what_was_answered_in_a_batch_before_its_import_is_no_part_of_the_import(still: StillClock) -> None:
    """Once the import has begun, `others` stays the same: later answers may be those to its own rows."""
    keys = ["ready", "bodies", "answered:a", "marks", "batch"]
    still.redis.hset("batch", mapping={"id": "spring", "began_at": 5, "answered": 3})
    for answered in (3, 4):
        still.redis.hset("batch", "answered", answered)
        still.ask(SCRIPTS["enqueue_all"], keys, ["a", "ma", "A", "spring", "contacts", DAY_MS])
        assert still.all()["batch"]["others"] == "3"
    still.redis.hdel("batch", "others")
    still.ask(SCRIPTS["enqueue_all"], keys, ["a", "ma", "A", "spring", "contacts", DAY_MS])
    assert "others" not in still.all()["batch"]


def test_without_a_batch_nothing_is_counted(still: StillClock) -> None:
    keys = ["ready", "bodies", "answered:a", "marks", "ready", "bodies", "answered:b", "marks"]
    assert still.ask(SCRIPTS["enqueue_all"], keys, ["a", "ma", "A", "b", "mb", "B"]) == 2
    assert still.all() == {"ready": ["a", "b"], "bodies": {"a": "A", "b": "B"}}


@pytest.mark.parametrize(("left", "new"), [(-1, 1), (1, 0), (60, 0)])
def test_a_mark_tells_until_when_a_message_counts_as_answered(still: StillClock, left: int, new: int) -> None:
    """A mark whose time is over may still be in Redis: it must not keep a message from its queue."""
    still.redis.hset("marks", "ma", f"{NOW // 1000 + left:08x}0123456789")
    keys = ["ready", "bodies", "answered:a", "marks"]
    assert still.ask(SCRIPTS["enqueue_all"], keys, ["a", "ma", "A"]) == new
    assert still.redis.llen("ready") == new


def test_what_was_pushed_before_a_queue_refused_is_counted(still: StillClock) -> None:
    still.redis.set("ready:2", "something else")
    keys = [
        "ready:1",
        "bodies:1",
        "answered:a",
        "marks",
        "ready:2",
        "bodies:2",
        "answered:b",
        "marks",
        "batch",
    ]
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        still.ask(
            SCRIPTS["enqueue_all"], keys, ["a", "ma", "A", "b", "mb", "B", "spring", "contacts", DAY_MS]
        )
    assert still.all() == {
        "ready:1": ["a"],
        "bodies:1": {"a": "A"},
        "ready:2": "something else",
        "batch": {"id": "spring", "imports": "contacts", "began_at": str(NOW), "enqueued": "1"},
    }


def test_ids_are_told_without_their_messages(still: StillClock) -> None:
    still.redis.hset("bodies", mapping={"a": "A", "b": "B", "c": "C"})
    cursor, ids = still.ask(SCRIPTS["ids"], ["bodies"], [0, 100])
    assert (cursor, sorted(ids)) == ("0", ["a", "b", "c"])


def test_all_that_is_outstanding_goes_back_in_its_old_order(still: StillClock) -> None:
    still.redis.rpush("ready", "later")
    still.redis.sadd("acks", "a", "b", "c", "no body")
    still.redis.hset("bodies", mapping=dict.fromkeys("abc", "{}"))
    keys = ["ready", "bodies", "acks", "epoch"]
    # `gone` was answered meanwhile; `c` was taken by a fetch whose reply was lost.
    assert still.ask(SCRIPTS["hand_back"], keys, ["all", 7, "a", "gone", "b"]) == 3
    assert still.all() == {
        "ready": ["a", "b", "c", "later"],
        "bodies": {"a": "{}", "b": "{}", "c": "{}"},
        "epoch": "7",
    }
    assert still.lives("epoch", DAY_MS)


def test_what_a_lost_reply_left_behind_goes_back_and_the_rest_stays(still: StillClock) -> None:
    still.redis.sadd("acks", "mine", "lost")
    still.redis.hset("bodies", mapping={"mine": "{}", "lost": "{}"})
    assert still.ask(SCRIPTS["hand_back"], ["ready", "bodies", "acks", "epoch"], ["others", 3, "mine"]) == 1
    assert (still.all()["ready"], still.all()["acks"]) == (["lost"], {"mine"})


def test_a_worker_with_nothing_in_hand_leaves_no_trace(still: StillClock) -> None:
    for worker in ("w1", "w2"):
        still.redis.zadd("heartbeats", {worker: 1})
        still.redis.hset("workers", worker, "{}")
        still.redis.hset("suspects", worker, "1|q|a")
    still.redis.sadd("acks:2", "a")
    keys = ["heartbeats", "workers", "suspects", "acks:1", "acks:2"]
    before = still.all()
    assert still.ask(SCRIPTS["leave"], keys, ["w1"]) == 0
    assert still.all() == before
    still.redis.delete("acks:2")
    assert still.ask(SCRIPTS["leave"], keys, ["w1"]) == 1
    assert still.all() == {"heartbeats": {"w2": 1}, "workers": {"w2": "{}"}, "suspects": {"w2": "1|q|a"}}


def test_a_worker_that_cannot_be_removed_is_still_missed_when_it_is_silent(still: StillClock) -> None:
    still.redis.zadd("heartbeats", {"w1": 1})
    still.redis.hset("suspects", "w1", "1|q|a")
    still.redis.set("workers", "something else")
    before = still.all()
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        still.ask(SCRIPTS["leave"], ["heartbeats", "workers", "suspects", "acks"], ["w1"])
    assert still.all() == before


def remembers(still: StillClock, surely: int, following: int) -> int:
    answer: int = still.ask(SCRIPTS["memory"], ["memory", "forgot"], [surely, following, 60_000])
    return answer


def test_a_redis_that_knows_the_last_number_has_forgotten_nothing(still: StillClock) -> None:
    assert remembers(still, 0, 1) == 0
    assert remembers(still, 1, 2) == 0
    # If the last reply was lost, the number may be ahead of the one that was surely written.
    assert remembers(still, 1, 3) == 0
    assert still.all() == {"memory": "3"}
    assert still.lives("memory", DAY_MS)


@pytest.mark.parametrize(("surely", "known", "forgotten"), [(0, None, 0), (1, None, 1), (7, 7, 0), (7, 6, 1)])
def test_an_older_number_than_was_surely_written_is_a_loss(
    still: StillClock, surely: int, known: int | None, forgotten: int
) -> None:
    if known is not None:
        still.redis.set("memory", known)
    assert remembers(still, surely, 9) == forgotten
    assert still.all()["memory"] == "9"
    assert ("forgot" in still.all()) is bool(forgotten)


def test_several_workers_tell_of_one_loss(still: StillClock) -> None:
    assert remembers(still, 5, 6) == 1
    assert still.all() == {"memory": "6", "forgot": {"times": "1", "at": str(NOW)}}
    assert still.lives("forgot", 7 * DAY_MS)
    for later, times in ((0, "1"), (60_000, "1"), (60_001, "2"), (-1, "3")):
        still.redis.delete("memory")
        still.redis.hset("forgot", "at", NOW)
        still.now = NOW + later
        assert remembers(still, 5, 6) == 1
        assert still.all()["forgot"] == {"times": times, "at": str(NOW + later)}


def test_an_outstanding_message_waits_until_it_is_due(still: StillClock) -> None:
    still.redis.sadd("acks", "a", "b")
    assert still.ask(SCRIPTS["postpone"], ["acks", "delayed"], ["a", 77]) == 1
    assert still.ask(SCRIPTS["postpone"], ["acks", "delayed"], ["a", 99]) == 0
    assert still.all() == {"acks": {"b"}, "delayed": {"a": 77}}


def test_dead_letters_are_forgotten_whole(still: StillClock) -> None:
    for letter in "abc":
        still.redis.zadd("dead", {letter: 1})
        still.redis.hset("dead.b", letter, "{}")
        still.redis.hset("dead.r", letter, "why")
    assert still.ask(SCRIPTS["purge"], ["dead", "dead.b", "dead.r"], ["a", "b", "never"]) == 2
    assert still.all() == {"dead": {"c": 1}, "dead.b": {"c": "{}"}, "dead.r": {"c": "why"}}


def test_a_dead_letter_becomes_a_job_once(still: StillClock) -> None:
    keys = ["dead", "dead.b", "dead.r", "ready", "bodies"]
    still.redis.zadd("dead", {"a": 1})
    still.redis.hset("dead.b", "a", "old")
    still.redis.hset("dead.r", "a", "why")
    assert still.ask(SCRIPTS["revive"], keys, ["a", "a2", "new"]) == 1
    assert still.all() == {"ready": ["a2"], "bodies": {"a2": "new"}}
    assert still.ask(SCRIPTS["revive"], keys, ["a", "a3", "new"]) == 0
    assert still.all() == {"ready": ["a2"], "bodies": {"a2": "new"}}


@pytest.mark.parametrize("wrong", ["ready", "dead", "dead.r"])
def test_a_dead_letter_that_cannot_be_pushed_or_removed_stays(still: StillClock, wrong: str) -> None:
    still.redis.hset("dead.b", "a", "old")
    still.redis.set(wrong, "something else")
    before = still.all()
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        still.ask(SCRIPTS["revive"], ["dead", "dead.b", "dead.r", "ready", "bodies"], ["a", "a2", "new"])
    assert still.all() == before


@pytest.mark.parametrize(("size", "kept"), [(327_680, "x" * 327_680), (327_681, '{"bytes":327681}')])
def test_an_unreadable_entry_is_set_aside_once(still: StillClock, size: int, kept: str) -> None:
    keys = ["acks", "bodies", "dead", "dead.b", "dead.r", "events"]
    still.redis.sadd("acks", "a")
    still.redis.hset("bodies", "a", "x" * size)
    for answer in (1, 0):
        assert still.ask(SCRIPTS["set_aside"], keys, ["a", "why", "rejected", "{}", 1000]) == answer
        assert still.all() == {
            "dead": {"a": NOW},
            "dead.b": {"a": kept},
            "dead.r": {"a": "why"},
            "events": [{"type": "rejected", "event": "{}"}],
        }


@pytest.mark.parametrize("there", [["earlier"], [], "no list"])
def test_who_waits_for_an_unreadable_entry_is_answered(still: StillClock, there: list[str] | str) -> None:
    """A key of another type is somebody else's and is left alone; the stream gets the event all the same."""
    if isinstance(there, str):
        still.redis.set("reply", there)
    elif there:
        still.redis.rpush("reply", *there)
    still.redis.sadd("acks", "a")
    keys = ["acks", "bodies", "dead", "dead.b", "dead.r", "events", "reply"]
    for answer in (1, 0):
        assert still.ask(SCRIPTS["set_aside"], keys, ["a", "why", "rejected", "{}", 1000]) == answer
        assert still.all() == {
            "events": [{"type": "rejected", "event": "{}"}],
            "reply": there if isinstance(there, str) else [*there, "{}"],
        }
    assert isinstance(there, str) or 0 < still.redis.pttl("reply") <= 3_600_000


def test_an_entry_without_a_body_is_told_and_leaves_no_letter(still: StillClock) -> None:
    still.redis.sadd("acks", "a")
    keys = ["acks", "bodies", "dead", "dead.b", "dead.r", "events"]
    assert still.ask(SCRIPTS["set_aside"], keys, ["a", "why", "rejected", "{}", 1000]) == 1
    assert still.all() == {"events": [{"type": "rejected", "event": "{}"}]}


def test_what_stands_somewhere_is_not_put_back(still: StillClock) -> None:
    """If a message were on its queue twice, two workers would carry it out at once."""
    ids = ["ready", "due", "mine", "theirs", "parked", "elsewhere", "astray", "answered"]
    still.redis.hset("bodies", mapping=dict.fromkeys(ids[:-1], "{}"))
    still.redis.rpush("ready", "ready")
    still.redis.zadd("delayed", {"due": 1})
    still.redis.sadd("acks:1", "mine")
    still.redis.sadd("acks:2", "theirs")
    # Parking places of this queue and of another.
    still.redis.sadd("parked", "sms/paused|contacts|sms/add_contact", "sms/paused|bulk|sms/add_contact")
    still.redis.zadd("parked:sms/paused|contacts|sms/add_contact", {"parked": 1})
    still.redis.zadd("parked:sms/paused|bulk|sms/add_contact", {"elsewhere": 1})
    before = still.all()
    assert still.ask(SCRIPTS["put_back"], PUT_BACK, ["", "contacts", *ids]) == ["elsewhere", "astray"]
    assert still.all() == before
    assert still.ask(SCRIPTS["put_back"], PUT_BACK, ["1", "contacts", *ids]) == ["elsewhere", "astray"]
    assert still.all() == before | {"delayed": {"due": 1, "elsewhere": NOW, "astray": NOW}}


def test_both_ends_of_a_long_list_are_looked_at(still: StillClock) -> None:
    still.redis.hset("bodies", mapping={"n500": "{}", "n501": "{}", "n1001": "{}", "n1002": "{}"})
    still.redis.rpush("ready", *(f"n{number}" for number in range(1, 1502)))
    ids = ["n500", "n501", "n1001", "n1002"]
    assert still.ask(SCRIPTS["put_back"], PUT_BACK, ["", "contacts", *ids]) == ["n501", "n1001"]


@pytest.mark.parametrize(
    ("body", "due"),
    [
        ({"message_timestamp": 5}, 5),
        ({"message_timestamp": 0}, 0),
        ({"message_timestamp": NOW - 1}, NOW - 1),
        ({"message_timestamp": -1}, NOW),
        ({"message_timestamp": NOW + 5}, NOW),
        ({"message_timestamp": "5"}, NOW),
        ({"message_timestamp": 5, "x": "y" * 65_503}, 5),
        ({"message_timestamp": 5, "x": "y" * 65_504}, NOW),
        ([5], NOW),
        ("no JSON", NOW),
    ],
)
def test_what_stood_nowhere_is_due_when_it_was_sent(still: StillClock, body: object, due: int) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    assert len(text) in {65_536, 65_537} or len(text) < 99
    still.redis.hset("bodies", "a", text)
    assert still.ask(SCRIPTS["put_back"], PUT_BACK, ["1", "contacts", "a"]) == ["a"]
    assert still.all()["delayed"] == {"a": due}
