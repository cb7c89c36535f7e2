"""Where settle.lua writes an answer besides the stream: the caller's list, its minute, its batch; and how it keeps pages."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import pytest

from delivery import Ledger, sizing
from delivery.answer import STAGED
from delivery.claim import Claim
from delivery.settlement import (
    Done,
    MorePages,
    Replayed,
    Settled,
    Settlement,
)
from delivery.task import short_digest
from tests.harness.records import (
    COVER_MS,
    DAY_MS,
    DONE,
    EVENT,
    FAILED,
    KEYS,
    LIFE_MS,
    MINUTE,
    ON_STREAM,
    OURS,
    Make,
    record,
)
from tests.harness.still_clock import NOW, StillClock
from tests.harness.sync_ledger import LONG_POLICY, finish


def test_the_caller_s_list_keeps_the_latest_for_an_hour(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job, reply = claimed("job", reply_to="me"), KEYS.reply("me")
    still.redis.rpush(reply, *(f"old {number}" for number in range(9999)))
    events = [("a", '{"n":1}'), ("b", '{"n":2}')]
    finish(still_ledger.settle(job, "t1", Done(events=events)))
    found = still.all()
    assert len(found[reply]) == 10_000
    assert (found[reply][0], found[reply][-2:]) == ("old 1", ['{"n":1}', '{"n":2}'])
    assert still.lives(reply, 3_600_000)
    assert found[KEYS.events] == [{"type": "a", "event": '{"n":1}'}, {"type": "b", "event": '{"n":2}'}]


def test_where_the_caller_s_list_is_something_else_the_stream_and_the_batch_are_told_all_the_same(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job", reply_to="me", batch_id="spring", batch_size=1)
    still.redis.set(KEYS.reply("me"), "mistaken")
    for _ in range(2):
        assert finish(still_ledger.settle(job, "t1", DONE)) == OURS
    found = still.all()
    assert found[KEYS.reply("me")] == "mistaken"
    assert [entry["type"] for entry in found[KEYS.events]] == ["told", "coupontools.batch.finished"]
    assert batch(still)["answered"] == "1"


def test_each_minute_counts_its_answers_by_lane_and_outcome(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    for number, settlement in enumerate((DONE, DONE, FAILED)):
        still.now = NOW + number
        finish(still_ledger.settle(claimed(f"job {number}"), "t1", settlement))
    assert still.all()[MINUTE] == {
        "contacts|succeeded": "2",
        "contacts|failed:rejected": "1",
        "contacts|first": str(NOW),
    }
    still.now = NOW + 60_000
    finish(still_ledger.settle(claimed("next"), "t1", DONE))
    assert still.all()[f"{KEYS.minutes}:{NOW // 60_000 + 1}"]["contacts|succeeded"] == "1"


def batch(still: StillClock) -> dict[str, str]:
    found: dict[str, str] = still.all().get(KEYS.batch(short_digest("spring")), {})
    return found


def test_the_jobs_of_a_batch_are_counted_each_once_and_its_end_is_told(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    jobs = [claimed(f"job {number}", batch_id="spring", batch_size=3) for number in range(4)]
    finish(still_ledger.settle(jobs[0], "t1", DONE))
    began = str(jobs[0].since)
    first = {
        "id": "spring",
        "size": "3",
        "began_at": began,
        "lane": "contacts",
        "succeeded": "1",
        "contacts|succeeded": "1",
        "answered": "1",
    }
    for _ in range(2):
        assert batch(still) == first
        assert finish(still_ledger.settle(jobs[0], "t1", DONE)) == OURS
    assert still.all()[KEYS.batches] == {short_digest("spring"): NOW}
    # A hold may keep the other jobs for longer than an outcome is remembered.
    assert still.lives(KEYS.batch(short_digest("spring")), LIFE_MS)
    still.now = NOW + 9
    finish(still_ledger.settle(jobs[1], "t1", FAILED))
    assert "coupontools.batch.finished" not in {entry["type"] for entry in still.all()[KEYS.events]}
    finish(still_ledger.settle(jobs[2], "t1", Replayed(events=[EVENT])))
    ended = first | {
        "failed:rejected": "1",
        "contacts|failed:rejected": "1",
        "replayed": "1",
        "contacts|replayed": "1",
        "answered": "3",
        "told": "1",
        "finished_at": str(NOW + 9),
    }
    assert batch(still) == ended
    assert still.lives(KEYS.batch(short_digest("spring")), DAY_MS)
    finish(still_ledger.settle(jobs[3], "t1", DONE))
    assert batch(still) == ended | {"succeeded": "2", "contacts|succeeded": "2", "answered": "4"}
    assert still.lives(KEYS.batch(short_digest("spring")), DAY_MS)
    [event] = [entry for entry in still.all()[KEYS.events] if entry["type"] == "coupontools.batch.finished"]
    data = json.loads(event["event"])["data"]
    assert (data["total"], data["succeeded"], data["replayed"], data["failed"]) == (3, 1, 1, {"rejected": 1})


def test_an_import_s_batch_ends_with_its_rows_whatever_a_service_has_in_it(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    """Otherwise jobs that a service put into the batch would count as rows, and the batch would be finished while rows wait."""
    key = KEYS.batch(short_digest("spring"))
    rows = [
        dataclasses.replace(claimed(f"row {number}", batch_id="spring"), queue="bulk") for number in (1, 2)
    ]
    own = [claimed(f"own {number}", batch_id="spring") for number in (1, 2, 3)]
    still.redis.hset(key, mapping={"id": "spring", "enqueued": 2, "imports": "bulk"})
    finish(still_ledger.settle(own[0], "t1", DONE))
    still.ask(*sizing(KEYS, LONG_POLICY, "spring", 0))
    assert batch(still)["size"] == "3"
    for job in (own[1], rows[0], own[2]):
        finish(still_ledger.settle(job, "t1", DONE))
        assert "told" not in batch(still)
    finish(still_ledger.settle(rows[1], "t1", FAILED))
    [event] = [entry for entry in still.all()[KEYS.events] if entry["type"] == "coupontools.batch.finished"]
    data = json.loads(event["event"])["data"]
    assert (data["total"], data["succeeded"], data["failed"]) == (5, 4, {"rejected": 1})


@pytest.mark.parametrize("odd", [{"imports": "bulk"}, {"imports": "bulk", "reads|succeeded": "many"}])
def test_odd_counts_of_a_batch_stop_no_answer(
    still: StillClock, still_ledger: Ledger, claimed: Make, odd: dict[str, str]
) -> None:
    """Redis may have refused the command after the one that noted the lane, and a stranger may write anything."""
    still.redis.hset(KEYS.batch(short_digest("spring")), mapping={"id": "spring", **odd})
    job = claimed("job", batch_id="spring", batch_size=1)
    assert finish(still_ledger.settle(job, "t1", DONE)) == OURS
    assert [entry["type"] for entry in still.all()[KEYS.events]] == ["told", "coupontools.batch.finished"]


def test_a_batch_of_one_job_ends_with_its_answer(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    finish(still_ledger.settle(claimed("job", batch_id="spring", batch_size=1), "t1", DONE))
    assert (batch(still)["size"], batch(still)["told"]) == ("1", "1")
    assert [entry["type"] for entry in still.all()[KEYS.events]] == ["told", "coupontools.batch.finished"]


def test_a_batch_began_no_later_than_its_first_answer_whatever_the_clock_of_who_sent_it(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job", batch_id="spring", batch_size=1)
    job.receipt = dataclasses.replace(job.receipt, sent=NOW + 3_600_000)
    finish(still_ledger.settle(job, "t1", DONE))
    assert batch(still)["began_at"] == batch(still)["finished_at"] == str(NOW)


def test_a_batch_began_when_its_first_job_was_sent_however_long_that_was_delayed(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    """Otherwise a batch that was cancelled during the delay would count as not cancelled, and its later jobs would be carried out."""
    job = claimed("job", batch_id="spring")
    job.receipt = dataclasses.replace(job.receipt, sent=job.since - 3_600_000)
    finish(still_ledger.settle(job, "t1", FAILED))
    assert batch(still)["began_at"] == str(job.since - 3_600_000)


def test_a_batch_whose_size_nobody_said_does_not_end(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    finish(still_ledger.settle(claimed("job", batch_id="spring"), "t1", DONE))
    assert not {"size", "told"} & batch(still).keys()
    assert still.all()[KEYS.events] == [ON_STREAM]
    assert still.lives(KEYS.batch(short_digest("spring")), DAY_MS)


def test_where_the_jobs_of_a_batch_differ_the_largest_size_counts(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    for number, (size, counts) in enumerate(((None, None), (5, "5"), (4, "5"), (6, "6"))):
        job = claimed(f"job {number}", batch_id="spring", **({"batch_size": size} if size else {}))
        finish(still_ledger.settle(job, "t1", DONE))
        assert batch(still).get("size") == counts


def test_batches_of_long_ago_and_too_many_are_forgotten(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    many = {f"b{number}": NOW - DAY_MS + 1 + number for number in range(10_000)}
    still.redis.zadd(KEYS.batches, {**many, "old": NOW - DAY_MS})
    finish(still_ledger.settle(claimed("job", batch_id="spring"), "t1", DONE))
    found = still.all()[KEYS.batches]
    assert len(found) == 10_000
    assert not {"old", "b0"} & found.keys()
    assert {"b1", short_digest("spring")} <= found.keys()


def test_a_batch_of_which_answers_are_awaited_stays_in_the_list(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    """Otherwise an import that is paused for longer than outcomes are kept would leave the list as soon as another batch has an answer."""
    still.redis.hset(KEYS.batch("awaited"), "id", "autumn")
    still.redis.zadd(KEYS.batches, {"awaited": NOW - 2 * DAY_MS, "gone": NOW - 2 * DAY_MS})
    finish(still_ledger.settle(claimed("job", batch_id="spring"), "t1", DONE))
    assert still.all()[KEYS.batches].keys() == {"awaited", short_digest("spring")}


def pages(*texts: str, number: int = 0) -> MorePages:
    return MorePages(events=[(text, "{}") for text in texts], pages=list(texts), batch=number)


def test_each_batch_of_pages_is_made_ready_and_kept_once_and_all_are_told_at_the_end(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job", "list_contacts")
    key, staged = KEYS.pages("list_contacts", job.digest), KEYS.staged("list_contacts", job.digest)
    for each in (key, staged):
        still.redis.rpush(each, "of an earlier attempt")
    for _ in range(2):
        still.now += 5
        assert finish(still_ledger.settle(job, "t1", pages("a", "b"))) == OURS
        assert still.all()[key] == ["a", "b"]
        assert still.all()[staged] == ["a", "{}", "b", "{}"]
        assert KEYS.events not in still.all()
        # The lease is renewed.
        assert record(still, still_ledger, job)["lease_end"] == str(still.now + COVER_MS)
    assert still.lives(key, DAY_MS + 60_000)
    assert still.redis.pttl(key) > DAY_MS
    assert still.lives(staged, LIFE_MS)
    finish(still_ledger.settle(job, "t1", pages("c", number=1)))
    last = replace(STAGED, outcome="{}")
    for _ in range(2):
        assert finish(still_ledger.settle(job, "t1", last)) == OURS
        assert still.all()[key] == ["a", "b", "c"]
        assert [entry["type"] for entry in still.all()[KEYS.events]] == ["a", "b", "c"]
        assert staged not in still.all()
    # Only the last settlement answers the message.
    assert still.all()[MINUTE]["reads|succeeded"] == "1"


def test_so_much_of_a_long_listing_is_written_at_a_time_and_whoever_claims_it_goes_on(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    """Otherwise, if the worker dies after the first pages, the pages of a new listing would follow them under the same ids."""
    job = claimed("job", "list_contacts", reply_to="me")
    reply, staged = KEYS.reply("me"), KEYS.staged("list_contacts", job.digest)
    half = "x" * (512 * 1024)
    more = MorePages(events=[(text, half) for text in "abcde"], pages=[], batch=0)
    assert finish(still_ledger.settle(job, "t1", more)) == OURS
    assert finish(still_ledger.settle(job, "t1", STAGED)) == Settled(ours=True, used=False, more=True)
    assert [entry["type"] for entry in still.all()[KEYS.events]] == ["a", "b"]
    assert still.all()[staged][::2] == ["c", "d", "e"]
    # The worker dies. When its lease is over, another one goes on, even after the deadline, and from then on the first may not.
    assert finish(still_ledger.claim(job, "t2")).verb == "deferred"
    still.redis.zrem("delayed", "job")
    still.redis.sadd("acks", "job")
    still.now += COVER_MS + job.patience * 1000
    # The reply to the first claim is lost. If the second returned `call`, its listing would follow the pages that are written.
    for _ in range(2):
        assert finish(still_ledger.claim(job, "t2")) == Claim("stands", job.deadline, attempts=1)
    assert not finish(still_ledger.settle(job, "t1", STAGED)).ours
    assert finish(still_ledger.settle(job, "t2", STAGED)).more
    assert finish(still_ledger.settle(job, "t2", STAGED)) == OURS
    assert [entry["type"] for entry in still.all()[KEYS.events]] == list("abcde")
    assert len(still.all()[reply]) == 5
    assert not {staged, "acks", "bodies"}.intersection(still.all())


@pytest.mark.parametrize("ends", [DONE, FAILED], ids=["done", "failed"])
def test_of_a_listing_that_did_not_come_to_its_end_nothing_is_left(
    still: StillClock, still_ledger: Ledger, claimed: Make, ends: Settlement
) -> None:
    job = claimed("job", "list_contacts")
    more = MorePages(events=[EVENT], pages=[], batch=0)
    assert finish(still_ledger.settle(job, "t1", more)) == OURS
    still.now += COVER_MS + 1000
    assert finish(still_ledger.claim(job, "t2")).owned
    assert finish(still_ledger.settle(job, "t2", ends)) == OURS
    assert KEYS.staged("list_contacts", job.digest) not in still.all()


def test_another_message_under_the_key_of_a_listing_waits_until_its_pages_are_written(
    still: StillClock, still_ledger: Ledger, claimed: Make, still_task: Make
) -> None:
    job = claimed("job", "list_contacts", idempotency_key="mine")
    more = MorePages(events=[("a", "x" * 2**20), ("b", "{}")], pages=[], batch=0)
    finish(still_ledger.settle(job, "t1", more))
    assert finish(still_ledger.settle(job, "t1", STAGED)).more
    still.now += COVER_MS + 60_000
    other = still_task("other", "list_contacts", idempotency_key="mine")
    assert finish(still_ledger.claim(other, "t2")).reason == "busy"
    assert finish(still_ledger.claim(job, "t3")).verb == "stands"
    assert finish(still_ledger.settle(job, "t3", STAGED)) == OURS
    assert [entry["type"] for entry in still.all()[KEYS.events]] == ["a", "b"]


def test_pages_that_are_not_remembered_are_made_ready_alone(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job", "list_contacts")
    more = MorePages(events=[EVENT], pages=[], batch=0)
    assert finish(still_ledger.settle(job, "t1", more)) == OURS
    assert KEYS.pages("list_contacts", job.digest) not in still.all()
    assert still.all()[KEYS.staged("list_contacts", job.digest)] == list(EVENT)
    assert KEYS.events not in still.all()
    assert "acks" in still.all()


def test_a_listing_of_one_batch_replaces_what_was_kept_before(
    still: StillClock, still_ledger: Ledger, claimed: Make
) -> None:
    job = claimed("job", "list_contacts")
    key = KEYS.pages("list_contacts", job.digest)
    still.redis.rpush(key, "of an earlier attempt")
    finish(still_ledger.settle(job, "t1", Done(events=[EVENT], outcome="{}", pages=["a"])))
    assert still.all()[key] == ["a"]
