"""What Redis has of the records that wait for a listing, and what the listing's verdicts change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from delivery import Ledger, Task, Verdict
from delivery.retry import Rests
from delivery.scripts import SCRIPTS
from tests.harness.records import (
    DAY_MS,
    KEYS,
)
from tests.harness.still_clock import NOW, StillClock, named
from tests.harness.sync_ledger import finish


def anew(still: StillClock, **fields: str) -> Any:
    still.redis.hset("record", mapping=fields)
    return still.ask(SCRIPTS["anew"], ["record"], [])


def test_a_job_that_ended_as_unknown_is_forgotten_unless_another_finds_out(still: StillClock) -> None:
    still.redis.hset("bodies", "a", "{}")
    for fields in ({"s": "done"}, {"s": "running"}, {"s": "unknown", "b": "bodies", "id": "a"}):
        assert anew(still, **fields) == 0
        assert still.all()["record"] == fields
        still.redis.delete("record")
    assert anew(still, s="unknown", b="bodies", id="gone") == 1
    assert anew(still, s="unknown") == 1
    assert "record" not in still.all()


@pytest.mark.parametrize(
    ("state", "lives", "kept"),
    [
        ("unknown", DAY_MS, 90 * DAY_MS),
        ("unknown", 91 * DAY_MS, 91 * DAY_MS),
        ("done", DAY_MS, DAY_MS),
        ("waiting", DAY_MS, DAY_MS),
        (None, 0, 0),
    ],
)
def test_what_ended_as_unknown_and_is_asked_for_again_lives_as_long_as_its_message_may_wait(
    still: StillClock, state: str | None, lives: int, kept: int
) -> None:
    if state:
        still.redis.hset("record", "s", state)
        still.redis.pexpire("record", lives)
    assert still.ask(SCRIPTS["again"], ["record"], [90 * DAY_MS]) == int(kept > lives)
    if state:
        assert still.lives("record", kept)
    else:
        assert still.all() == {}


def test_rows_that_show_too_little_are_known_from_their_first_look_on(still: StillClock) -> None:
    assert still.ask(SCRIPTS["doubtful"], ["doubtful"], [5 * DAY_MS, "a", "b"]) == 2
    still.now = NOW + 7
    assert still.ask(SCRIPTS["doubtful"], ["doubtful"], [5 * DAY_MS, "b", "c"]) == 2
    assert still.all() == {"doubtful": {"b": str(NOW), "c": str(NOW + 7)}}
    assert still.lives("doubtful", 5 * DAY_MS)
    assert still.ask(SCRIPTS["doubtful"], ["doubtful"], [5 * DAY_MS]) == 0
    assert still.all() == {}


def unknown_record(still: StillClock, name: str, due: int, **fields: Any) -> None:
    still.redis.hset(name, mapping={"s": "unknown", "en": 5, **fields})
    still.redis.zadd("unknown", {name: due})


def test_records_that_wait_for_a_listing_are_told_in_the_order_of_their_next_look(still: StillClock) -> None:
    unknown_record(still, "second", 8)
    unknown_record(still, "first", 7, cl=3, rb=7, nd="needle", bl='["gro_0"]', m="m-1", an=2)
    unknown_record(still, "third", 9)
    told = still.ask(SCRIPTS["unknowns"], ["unknown"], [0, 2])
    assert told == [
        str(NOW),
        *("first", "5", "3", "7", "needle", '["gro_0"]', "m-1", "2"),
        # A record of an older worker lacks these.
        *("second", "5", "0", "0", "", "", "", "0"),
    ]
    assert still.ask(SCRIPTS["unknowns"], ["unknown"], [2, 2])[1] == "third"
    assert still.ask(SCRIPTS["unknowns"], ["unknown"], [3, 2]) == [str(NOW)]


def test_a_record_that_waits_for_no_look_is_dropped(still: StillClock) -> None:
    unknown_record(still, "told", 7, v="absent")
    unknown_record(still, "over", 8)
    still.redis.hset("over", "s", "done")
    unknown_record(still, "waits", 9)
    assert still.ask(SCRIPTS["unknowns"], ["unknown"], [0, 10])[1::8] == ["waits"]
    assert still.all()["unknown"] == {"waits": 9}


def judge(still: StillClock, word: str, evidence: Any = None, token: str = "mine") -> None:
    arguments = [token, 700, 10_000, 60_000, "record", 5, word, json.dumps(evidence or {})]
    assert still.ask(SCRIPTS["verdicts"], ["unknown", "reader"], arguments) == NOW


def waiting_record(still: StillClock, **fields: Any) -> None:
    """Write a record whose message waits for a look that is due."""
    still.redis.hset("bodies", "a", "{}")
    still.redis.zadd("delayed", {"a": NOW + DAY_MS})
    unknown_record(
        still, "record", 9, **{"q": "delayed", "b": "bodies", "id": "a", "dl": NOW + DAY_MS, **fields}
    )


@pytest.mark.parametrize("word", ["found", "absent"])
def test_a_verdict_wakes_the_message_that_waits_for_it(still: StillClock, word: str) -> None:
    waiting_record(still)
    judge(still, word, {"contact_id": "con_1"})
    found = still.all()
    assert found["delayed"] == {"a": NOW}
    assert "unknown" not in found
    record = named(found["record"])
    assert (record["verdict"], record["reconciled"]) == (word, "1")
    assert json.loads(record["evidence"]) == {"contact_id": "con_1"}


@pytest.mark.parametrize(
    ("looks", "pause"), [(None, 10_000), (1, 20_000), (2, 40_000), (3, 60_000), (99, 60_000)]
)
def test_what_a_listing_could_not_tell_is_looked_at_more_and_more_seldom(
    still: StillClock, looks: int | None, pause: int
) -> None:
    waiting_record(still, **({} if looks is None else {"un": looks}))
    judge(still, "undecided", {"why": "two of one name"})
    found = still.all()
    assert found["delayed"] == {"a": NOW + pause}
    assert found["unknown"] == {"record": NOW + pause}
    record = named(found["record"])
    assert (record["look_at"], record["looks"]) == (str(NOW + pause), str((looks or 0) + 1))
    assert (record["reconciled"], record["why"]) == ("1", "two of one name")
    assert "verdict" not in record


def test_what_is_undecided_is_due_at_its_deadline_at_the_latest(still: StillClock) -> None:
    waiting_record(still, dl=NOW + 5)
    judge(still, "undecided")
    assert still.all()["delayed"] == {"a": NOW + 5}
    assert still.all()["unknown"] == {"record": NOW + 10_000}


def test_a_pause_that_begins_longer_than_it_grows_stays(still: StillClock) -> None:
    waiting_record(still)
    arguments = ["mine", 700, 9000, 5000, "record", 5, "undecided", "{}"]
    still.ask(SCRIPTS["verdicts"], ["unknown", "reader"], arguments)
    assert still.all()["unknown"] == {"record": NOW + 9000}


def test_a_message_that_is_under_way_is_not_put_among_those_that_wait(still: StillClock) -> None:
    waiting_record(still)
    still.redis.delete("delayed")
    judge(still, "found")
    assert "delayed" not in still.all()


@pytest.mark.parametrize(
    "fields", [{"s": "running"}, {"s": "waiting"}, {"en": 6}, {"v": "found"}, {"id": "gone"}]
)
@pytest.mark.parametrize("word", ["found", "absent", "undecided"])
def test_a_verdict_that_nobody_waits_for_changes_no_record(
    still: StillClock, fields: dict[str, Any], word: str
) -> None:
    waiting_record(still, **fields)
    before = still.all()
    judge(still, word)
    assert still.all() == {name: value for name, value in before.items() if name != "unknown"}


def test_a_record_of_an_older_release_that_names_no_message_gets_its_verdict(still: StillClock) -> None:
    unknown_record(still, "record", 9)
    judge(still, "found", {"contact_id": "con_1"})
    assert named(still.all()["record"])["verdict"] == "found"


def test_whoever_read_the_listing_lets_it_rest(still: StillClock) -> None:
    for token, reader in (("mine", "rest"), ("other", "mine")):
        still.redis.set("reader", "mine", px=DAY_MS)
        judge(still, "absent", token=token)
        assert still.all()["reader"] == reader
        assert still.lives("reader", 700 if reader == "rest" else DAY_MS)


def test_a_verdict_of_the_ledger_takes_the_pauses_of_its_rests(
    still: StillClock, still_ledger: Ledger, still_task: Callable[..., Task]
) -> None:
    """The pauses are seconds in `Rests`, and milliseconds in Redis."""
    lost = still_task("lost")
    record = still_ledger.record(lost)
    still.redis.hset(record, mapping={"s": "unknown", "en": 5, "b": "bodies", "id": "lost"})
    still.redis.zadd(KEYS.unknown(lost.listing), {record: 1})
    _, [unknown] = finish(still_ledger.unknowns.of(lost.listing))
    still.redis.set(KEYS.reader(lost.listing), "mine")
    finish(
        still_ledger.unknowns.judge(
            lost.listing, "mine", [replace(Verdict(unknown, "undecided"))], Rests(600, 10, 60)
        )
    )
    assert still.all()[KEYS.unknown(lost.listing)] == {record: NOW + 10_000}
    assert still.lives(KEYS.reader(lost.listing), 600_000)
