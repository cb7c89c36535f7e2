"""Renewed leases, parking, cancelling, and the size of a batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from delivery import Ledger, Task, batch_key, sizing
from delivery.scripts import SCRIPTS
from tests.harness.records import (
    DAY_MS,
    KEYS,
)
from tests.harness.still_clock import NOW, StillClock
from tests.harness.sync_ledger import LONG_POLICY, finish


@pytest.mark.parametrize(
    ("fields", "holds"),
    [({"s": "running", "t": "mine"}, True), ({"s": "running", "t": "other"}, False), ({"s": "unknown", "t": "mine"}, False)],
)  # fmt: skip
def test_a_lease_that_is_held_begins_anew(still: StillClock, fields: dict[str, str], *, holds: bool) -> None:
    still.redis.hset("record", mapping=fields)
    for baseline in ('["gro_0"]', ""):
        lease = still.ask(SCRIPTS["renew"], ["record", "reader"], ["mine", 5000, baseline])
        assert lease == (5000 if holds else 0)
    # A baseline that was noted stays.
    noted = {"le": str(NOW + 5000), "bl": '["gro_0"]'} if holds else {}
    assert still.all() == {"record": fields | noted}


@pytest.mark.parametrize("token", ["mine", "other"])
def test_the_right_to_read_a_listing_begins_anew(still: StillClock, token: str) -> None:
    still.redis.set("reader", token, px=10 * DAY_MS)
    lease = still.ask(SCRIPTS["renew"], ["record", "reader"], ["mine", 5 * DAY_MS, ""])
    assert lease == (5 * DAY_MS if token == "mine" else 0)
    assert still.lives("reader", 5 * DAY_MS if token == "mine" else 10 * DAY_MS)
    assert still.all() == {"reader": token}


def test_what_is_outstanding_is_parked_while_its_hold_lasts(
    still: StillClock, still_ledger: Ledger, still_task: Callable[..., Task]
) -> None:
    a, b, gone = still_task("a", since=5), still_task("b", since=6), still_task("gone", since=7)
    still.redis.srem("acks", "gone")
    before = still.all()
    assert not finish(still_ledger.park("sms/paused", [a, b, gone]))
    assert still.all() == before
    still.redis.hset(KEYS.holds, "sms/paused", "{}")
    assert finish(still_ledger.park("sms/paused", [a, b, gone]))
    place = "sms/paused|contacts|sms/add_contact"
    found = still.all()
    assert found[KEYS.parked] == {place}
    assert found[f"{KEYS.parked}:{place}"] == {"a": 5, "b": 6}
    assert "acks" not in found


def test_what_is_cancelled_is_remembered_as_long_as_a_record(still: StillClock) -> None:
    def cancel(*marks: str) -> Any:
        return still.ask(SCRIPTS["cancel"], ["cancelled", "counts"], [DAY_MS, *marks])

    assert cancel("m:a", "b:spring") == 2
    still.now = NOW + 5
    # If a batch is cancelled again, its mark lasts as long again.
    assert cancel("b:spring", "m:b") == 1
    tomorrow = NOW + DAY_MS
    assert still.all() == {
        "cancelled": {"m:a": str(tomorrow), "b:spring": str(tomorrow + 5), "m:b": str(tomorrow + 5)}
    }
    assert still.lives("cancelled", 91 * DAY_MS)


@pytest.mark.parametrize("left_ms", [DAY_MS // 2, 2 * DAY_MS, None])
def test_a_batch_s_mark_catches_what_is_sent_no_longer_than_the_counts_live_that_live_now(
    still: StillClock, left_ms: int | None
) -> None:
    """Otherwise the mark would outlive the counts, and would also cancel the next batch of that name."""
    still.redis.hset("counts", "id", "spring")
    if left_ms:
        still.redis.pexpire("counts", left_ms)
    assert still.ask(SCRIPTS["cancel"], ["cancelled", "counts"], [DAY_MS, "b:spring", "m:a"]) == 2
    marks = still.all()["cancelled"]
    caught = min(left_ms or DAY_MS, DAY_MS)
    # Redis counts down meanwhile; on a busy machine that may be minutes.
    assert caught - (600_000 if caught < DAY_MS else 0) <= int(marks["b:spring"]) - NOW <= caught
    assert marks["m:a"] == str(NOW + DAY_MS)


def test_a_mark_is_gone_once_no_message_can_wait_for_it_any_more(still: StillClock) -> None:
    """Otherwise, if somebody cancels every week, the marks of years would be kept."""
    old = NOW - 90 * DAY_MS
    still.redis.hset(
        "cancelled", mapping={"m:old": old - 1, "b:old": old - 1, "u:last": old, "pace": f"{old} 3"}
    )
    assert still.ask(SCRIPTS["cancel"], ["cancelled", "counts"], [DAY_MS, "m:new"]) == 1
    assert set(still.all()["cancelled"]) == {"u:last", "pace", "m:new"}


def say_size(still: StillClock, size: int) -> None:
    arguments = ["spring", "digest", size, 7 * DAY_MS, 97 * DAY_MS, 1000]
    assert still.ask(SCRIPTS["size"], ["batch", "batches", "events"], arguments) == 1


def test_of_several_sizes_of_a_batch_the_largest_counts(still: StillClock) -> None:
    for size, kept in ((5, "5"), (3, "5"), (8, "8")):
        say_size(still, size)
        assert still.all() == {"batch": {"id": "spring", "size": kept}, "batches": {"digest": NOW}}
    still.redis.hset("batch", "enqueued", 9)
    say_size(still, 1)
    assert still.all()["batch"]["size"] == "9"


def test_a_batch_has_the_jobs_of_others_that_were_answered_before_an_import_put_its_own_there(
    still: StillClock,
) -> None:
    """Otherwise four answers to a service's jobs would count for the import's five, and the batch would be finished while four wait."""
    still.redis.hset("batch", mapping={"id": "spring", "answered": 5, "others": 4})
    say_size(still, 0)
    assert "size" not in still.all()["batch"]
    still.redis.hset("batch", "enqueued", 5)
    say_size(still, 0)
    assert still.all()["batch"]["size"] == "9"
    assert "events" not in still.all()


@pytest.mark.parametrize(
    ("before", "size", "days"),
    [
        ({}, 5, 97),
        ({"size": 5}, 0, 97),
        ({"enqueued": 5, "answered": 4}, 0, 97),
        # The size is not known, or all jobs are answered.
        ({}, 0, 7),
        ({"answered": 4}, 0, 7),
        ({"answered": 5}, 5, 7),
        ({"size": 5, "answered": 5, "told": 1}, 5, 7),
    ],
)
def test_a_batch_of_which_answers_are_awaited_is_kept_as_long_as_its_jobs(
    still: StillClock, before: dict[str, int], size: int, days: int
) -> None:
    if before:
        still.redis.hset("batch", mapping={"id": "spring", **before})
    say_size(still, size)
    assert still.lives("batch", days * DAY_MS)


def test_a_size_that_a_caller_tells_is_kept_as_long_as_what_jobs_tell_of_the_batch(still: StillClock) -> None:
    assert still.ask(*sizing(KEYS, LONG_POLICY, "spring", 5)) == 1
    key = batch_key(KEYS, "spring")
    assert still.all()[key] == {"id": "spring", "size": "5"}
    assert still.lives(key, 90 * DAY_MS)
    # While the size is not known, no answers are awaited.
    assert still.ask(*sizing(KEYS, LONG_POLICY, "autumn", 0)) == 1
    assert still.lives(batch_key(KEYS, "autumn"), DAY_MS)


def test_a_batch_whose_jobs_are_answered_when_its_size_is_told_is_finished(still: StillClock) -> None:
    counts = {
        "id": "spring",
        "answered": 6,
        "succeeded": 3,
        "replayed": 1,
        "failed:invalid": 2,
        "began_at": NOW - 1500,
    }
    still.redis.hset("batch", mapping=counts)
    say_size(still, 7)
    assert "events" not in still.all()
    still.redis.hset("batch", "size", 6)
    say_size(still, 6)
    for _ in range(2):
        [event] = still.all()["events"]
        assert event["type"] == "coupontools.batch.finished"
        assert json.loads(event["event"]) == {
            "specversion": "1.0",
            "id": "batch.finished/spring",
            "source": "/coupontools-worker",
            "type": "coupontools.batch.finished",
            "time": "2027-01-15T08:00:00.789Z",
            "datacontenttype": "application/json",
            "dataschema": "urn:coupontools-worker:batch.finished:v1",
            "batchid": "spring",
            "data": {
                "batch_id": "spring",
                "total": 6,
                "succeeded": 3,
                "replayed": 1,
                "failed": {"invalid": 2},
                "began_at": "2027-01-15T07:59:59.289Z",
                "finished_at": "2027-01-15T08:00:00.789Z",
            },
        }
        assert (still.all()["batch"]["told"], still.all()["batch"]["finished_at"]) == ("1", str(NOW))
        # The event is written once for each batch.
        say_size(still, 6)


@pytest.mark.parametrize(
    ("size", "answered", "ends"),
    [(0, 0, False), (0, 1, False), (1, 0, False), (1, 1, True), (2, 1, False), (2, 2, True), (2, 3, True)],
)
def test_a_batch_is_finished_when_as_many_are_answered_as_it_has(
    still: StillClock, size: int, answered: int, *, ends: bool
) -> None:
    still.redis.hset("batch", mapping={"id": "spring", **({"answered": answered} if answered else {})})
    say_size(still, size)
    assert ("events" in still.all()) is ends


def test_a_batch_of_no_jobs_is_not_finished(still: StillClock) -> None:
    say_size(still, 0)
    assert still.all() == {"batch": {"id": "spring"}, "batches": {"digest": NOW}}


def test_a_batch_of_which_nothing_more_is_known_is_told_with_noughts(still: StillClock) -> None:
    still.redis.hset("batch", mapping={"id": "spring", "answered": 1})
    say_size(still, 1)
    data = json.loads(still.all()["events"][0]["event"])["data"]
    assert (data["succeeded"], data["replayed"], data["failed"], data["began_at"]) == (
        0,
        0,
        {},
        data["finished_at"],
    )
