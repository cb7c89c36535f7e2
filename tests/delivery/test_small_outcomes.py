"""A success leaves little in Redis: enough to answer the same job again, and a mark that its message was answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from actors import JOBS
from config.keys import Keys
from delivery import Ledger, Outcome, Task
from delivery.answer import done, replayed
from delivery.attempt import Progress
from tests.harness import House
from tests.harness.records import DAY_MS, DONE, Make
from tests.harness.still_clock import NOW, StillClock
from tests.harness.sync_ledger import LONG_POLICY, SyncRunner, finish, now_ms

KEYS = Keys()
OLD, SMALL = 2, 3
SECOND_MS = 1000


def of_form(house: House, form: int, **policy: Any) -> Ledger:
    return Ledger(
        SyncRunner(house.redis), KEYS, dataclasses.replace(LONG_POLICY, **policy), form=lambda: form
    )


def outcome_of(task: Task) -> Outcome:
    return task.job.found({"contact_id": "con_12345678", "first_name": None})


def carry_out(ledger: Ledger, task: Task) -> None:
    assert finish(ledger.claim(task, "t")).verb == "call"
    settlement = done(task, outcome_of(task), Progress(attempts=1), form=ledger.form())
    assert finish(ledger.settle(task, "t", settlement)).answered


def again(house: House, task: Task, **changes: Any) -> Task:
    """Return the same job, in a message of its own or in the same message fetched once more."""
    house.redis.sadd("acks", task.receipt.id)
    return dataclasses.replace(task, **changes)


def value(house: House, task: Task) -> tuple[int, str]:
    """Return until which second the task's mark is good, and what the message asked for."""
    text: Any = house.redis.hget(KEYS.marks(task.marks), task.mark)
    return int(text[:8], 16), text[8:].decode()


def test_a_success_leaves_a_small_record_and_a_mark(house: House, task: Callable[..., Task]) -> None:
    ledger, job = of_form(house, SMALL), task("one")
    carry_out(ledger, job)
    record = ledger.record(job)
    assert house.redis.hgetall(record) == {
        b"s": b"done",
        b"fp": job.fingerprint[:16].encode(),
        b"o": b'["con_12345678"]',
    }
    # In another encoding, Redis would need three times as many bytes.
    assert house.redis.object("encoding", record) in {b"listpack", b"ziplist"}
    assert not house.redis.exists(KEYS.answered(job.message_id))
    second, asked = value(house, job)
    assert asked == job.asked[:10]
    assert abs(second * SECOND_MS - (now_ms() + LONG_POLICY.ttl * 1000)) < 60 * SECOND_MS
    assert house.redis.pttl(KEYS.marks(job.marks)) > LONG_POLICY.ttl * 1000


@pytest.mark.parametrize("stored", [OLD, SMALL])
def test_either_form_is_read(house: House, task: Callable[..., Task], stored: int) -> None:
    """Workers of this release must read both: the number rises while there are still records of the earlier form."""
    job = task("one")
    carry_out(of_form(house, stored), job)
    ledger = of_form(house, SMALL)
    assert finish(ledger.claim(again(house, job), "t2")).verb == "answered"
    other = again(house, job, message_id="two")
    claim = finish(ledger.claim(other, "t3"))
    assert claim.verb == "replay"
    answer = replayed(other, orjson.loads(claim.outcome), [])
    assert answer
    [(kind, event)] = answer.events
    data = orjson.loads(event)["data"]
    assert kind == "coupontools.contact.added"
    assert data == {**outcome_of(job).data, **Progress(replayed=True).data()}
    assert finish(ledger.settle(other, "t3", answer)).answered
    # A message that is answered by a replay leaves a mark as well.
    assert finish(ledger.claim(again(house, other), "t4")).verb == "answered"
    assert not house.redis.exists(KEYS.answered("two"))


def test_a_form_that_older_workers_read_is_written_as_they_read_it(
    house: House, task: Callable[..., Task]
) -> None:
    ledger, job = of_form(house, OLD), task("one")
    carry_out(ledger, job)
    kept = house.redis.hgetall(ledger.record(job))
    assert kept[b"fp"].decode() == job.fingerprint
    assert b'"event":"contact.added"' in kept[b"o"]
    assert house.redis.get(KEYS.answered(job.message_id)) == f"+{job.asked}".encode()
    assert not house.redis.exists(KEYS.marks(job.marks))


def test_an_id_that_succeeded_is_used_for_any_other_job(house: House, task: Callable[..., Task]) -> None:
    ledger, job = of_form(house, SMALL), task("one")
    carry_out(ledger, job)
    named = JOBS["add_contact"].parse({**job.job.model_dump(exclude_none=True), "first_name": "Ada"})  # type: ignore[attr-defined]
    other = again(house, job, job=named, fingerprint="")
    assert finish(ledger.claim(other, "t2")).verb == "used"


def test_another_job_of_the_key_is_a_conflict(house: House, task: Callable[..., Task]) -> None:
    """Only the beginning of the first job's fingerprint is kept, and that must be enough."""
    ledger, job = of_form(house, SMALL), task("one")
    carry_out(ledger, job)
    named = JOBS["add_contact"].parse({**job.job.model_dump(exclude_none=True), "first_name": "Ada"})  # type: ignore[attr-defined]
    other = again(house, job, job=named, fingerprint="", message_id="two")
    assert finish(ledger.claim(other, "t2")).verb == "conflict"


def test_a_mark_counts_until_its_time_is_over_and_is_remembered_anew_when_asked_for(
    house: House, task: Callable[..., Task]
) -> None:
    ledger, job = of_form(house, SMALL), task("one")
    carry_out(ledger, job)
    second, asked = value(house, job)
    marks, this_second = KEYS.marks(job.marks), now_ms() // SECOND_MS
    house.redis.hset(marks, job.mark, f"{this_second + 600:08x}{asked}")
    house.redis.pexpire(marks, 600 * SECOND_MS)
    assert finish(ledger.claim(again(house, job), "t2")).verb == "answered"
    assert value(house, job)[0] >= second
    assert value(house, job)[1] == asked
    assert house.redis.pttl(marks) > LONG_POLICY.ttl * 1000
    house.redis.hset(marks, job.mark, f"{this_second - 1:08x}{asked}")
    # The outcome is still on record, so the message is answered by a replay.
    assert finish(ledger.claim(again(house, job), "t3")).verb == "replay"


def test_marks_whose_time_is_over_go_as_others_come(house: House, task: Callable[..., Task]) -> None:
    """Otherwise marks that share a key would stay for as long as one of them is young."""
    ledger, marks = of_form(house, SMALL), 7
    over = f"{now_ms() // SECOND_MS - 1:08x}0123456789"
    house.redis.hset(KEYS.marks(marks), mapping={f"old {n}": over for n in range(100)})
    for n in range(200):
        job = task(f"job {n}")
        job.marks = marks
        carry_out(ledger, job)
    left = house.redis.hkeys(KEYS.marks(marks))
    assert len([each for each in left if each.startswith(b"old")]) < 50
    assert len([each for each in left if not each.startswith(b"old")]) == 200


WHOLE_SECOND = NOW // SECOND_MS * SECOND_MS + SECOND_MS


def put_marks(still: StillClock, until: dict[str, int], asked: str = "0123456789") -> str:
    """Write marks that are remembered until these seconds; return the key that they share."""
    key = KEYS.marks(7)
    still.redis.hset(key, mapping={name: f"{second:08x}{asked}" for name, second in until.items()})
    return key


def succeed(still_ledger: Ledger, claimed: Make, name: str = "job") -> Task:
    job = claimed(name)
    job.marks = 7
    assert finish(still_ledger.settle(job, "t1", DONE)).answered
    return job


@pytest.mark.parametrize(("before", "drawn"), [(6, False), (7, True), (8, False), (15, True)])
def test_each_eighth_mark_that_is_added_removes_those_whose_time_is_over(
    still: StillClock, still_ledger: Ledger, claimed: Make, before: int, *, drawn: bool
) -> None:
    still.now = WHOLE_SECOND
    second = WHOLE_SECOND // SECOND_MS
    over = {f"over {n}": second - 1 - n for n in range(before - 2)}
    key = put_marks(still, {"just now": second, "soon": second + 1, **over})
    job = succeed(still_ledger, claimed)
    assert still.all()[key].keys() == {"just now", "soon", job.mark} | (set() if drawn else over.keys())


def test_of_many_marks_thirty_two_are_looked_at(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    key = put_marks(still, {f"over {n}": 1 for n in range(47)})
    succeed(still_ledger, claimed)
    assert 48 - 32 <= len(still.all()[key]) <= 48 - 31


@pytest.mark.parametrize(("left", "counts"), [(-1, False), (0, True), (1, True)])
def test_a_mark_counts_through_its_last_second(
    still: StillClock, still_ledger: Ledger, still_task: Make, left: int, *, counts: bool
) -> None:
    still.now = WHOLE_SECOND
    job = still_task("job")
    job.marks = 7
    put_marks(still, {job.mark: WHOLE_SECOND // SECOND_MS + left}, job.asked[:10])
    assert finish(still_ledger.claim(job, "t1")).verb == ("answered" if counts else "call")


@pytest.mark.parametrize(
    ("lives_ms", "then_ms"),
    [(DAY_MS - 60_000, DAY_MS + 60_000), (DAY_MS, DAY_MS + 60_000), (10 * DAY_MS, 10 * DAY_MS)],
)
def test_marks_that_share_a_key_live_as_long_as_the_latest_of_them(
    still: StillClock, still_ledger: Ledger, claimed: Make, lives_ms: int, then_ms: int
) -> None:
    key = put_marks(still, {"other": 2**32 - 1})
    still.redis.pexpire(key, lives_ms)
    succeed(still_ledger, claimed)
    left: Any = still.redis.pttl(key)
    assert then_ms - 60_000 < left <= then_ms


def test_a_mark_is_remembered_no_longer_than_its_digits_can_say(still: StillClock, claimed: Make) -> None:
    """In a hundred years the time needs one digit more, which would be read as the beginning of what was asked for."""
    ledger = Ledger(still, KEYS, dataclasses.replace(LONG_POLICY, ttl=100 * 365 * 86_400))
    job = succeed(ledger, claimed)
    assert still.all()[KEYS.marks(7)] == {job.mark: f"ffffffff{job.asked[:10]}"}


@pytest.mark.parametrize("odd", ["", "nan", "-5", "0x7f", "spring", "1e99"])
def test_what_a_stranger_wrote_for_a_mark_is_none(
    still: StillClock, still_ledger: Ledger, claimed: Make, odd: str
) -> None:
    """Otherwise such a mark would end settle.lua with an error, at each eighth message of the key."""
    job = claimed("job")
    job.marks = 7
    still.redis.hset(KEYS.marks(7), mapping={job.mark: odd, **{f"odd {n}": odd for n in range(7)}})
    assert finish(still_ledger.settle(job, "t1", DONE)).answered
    assert still.all()[KEYS.marks(7)].keys() == {job.mark}
