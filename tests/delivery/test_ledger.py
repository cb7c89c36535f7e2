"""What the ledger's scripts return in cases that no order of steps brings about: clocks, names, probes, lost records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from config.keys import Keys
from delivery import Ledger, Task, Verdict
from delivery.retry import Rests
from delivery.settlement import Done, EndedUnknown, Lost
from tests.harness import House, wait_for
from tests.harness.holds import put_hold, put_past_hold
from tests.harness.sync_ledger import LONG_POLICY, SyncRunner, finish, now_ms

KEYS = Keys()
HOUR_MS = 3_600_000


def test_a_name_is_kept_from_a_job_whose_time_a_hold_has_extended(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """Otherwise both jobs would call, one listing would decide about both, and both would be answered with one group."""
    first = task("first", "create_group")
    # The second job has five seconds, and was enqueued ten seconds ago; but for eight of those ten its channel was held.
    second = task("second", "create_group", since=now_ms() - 10_000, patience=5.0)
    put_past_hold(house.redis, KEYS, "sms", now_ms() - 9000, now_ms() - 1000)
    assert finish(ledger.claim(first, "t1")).verb == "call"
    finish(ledger.renew(first, "t1", []))
    finish(ledger.settle(first, "t1", Lost()))
    claim = finish(ledger.claim(second, "t2"))
    assert (claim.verb, claim.reason) == ("deferred", "busy")


def test_whoever_wants_a_taken_name_asks_ever_less_often(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    assert finish(ledger.claim(task("first", "create_group"), "t1")).verb == "call"
    pauses = []
    for number, waited in enumerate((0, 10, 100, 1000)):
        waiting = task(f"w{number}", "create_group", since=now_ms() - waited * 1000)
        pauses.append(finish(ledger.claim(waiting, f"w{number}")).wait)
    # Each pause is a quarter of the time that the job has waited, or more on a busy machine.
    assert pauses == sorted(pauses)
    assert all(pause >= least for pause, least in zip(pauses, (300, 2500, 25_000, 30_000), strict=True))
    assert pauses[-1] == 30_000


def test_a_clock_set_back_stops_nobody(house: House, ledger: Ledger, task: Callable[..., Task]) -> None:
    ahead = now_ms() + HOUR_MS
    house.redis.hset(KEYS.pace, mapping={"tat": ahead * 1000})
    assert finish(ledger.claim(task("a"), "t1")).verb == "call"
    # But a slot that is at most ten seconds ahead counts: somebody may have reserved it.
    house.redis.hset(KEYS.pace, mapping={"tat": (now_ms() + 9000) * 1000})
    assert finish(ledger.claim(task("b"), "t2")).verb == "paced"
    house.redis.delete(KEYS.pace)
    put_hold(house.redis, KEYS, "account/refused", since=ahead, retry_at=ahead * 3)
    probe = finish(ledger.claim(task("c"), "t3"))
    assert (probe.verb, probe.probe) == ("call", True)


def test_a_probe_is_told_that_it_is_one_whatever_it_may_do(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    lost = task("lost")
    assert finish(ledger.claim(lost, "t1")).verb == "call"
    finish(ledger.settle(lost, "t1", Lost()))
    house.redis.sadd("acks", "lost")
    put_hold(house.redis, KEYS, "account/outage")
    ended = now_ms()
    wait_for(lambda: now_ms() > ended + 1, what="a moment after the call")
    claim = finish(ledger.claim(lost, "t2"))
    assert (claim.verb, claim.probe) == ("read_back", True)
    house.redis.delete(KEYS.unknown(lost.listing))
    # The repeat of a claim whose reply was lost returns the same.
    put_hold(house.redis, KEYS, "account/outage")
    other = task("other")
    first, repeat = finish(ledger.claim(other, "t3")), finish(ledger.claim(other, "t3"))
    assert (first.verb, first.probe) == (repeat.verb, repeat.probe) == ("call", True)


def test_what_no_listing_tells_is_asked_for_ever_less_often(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    lost = task("lost")
    finish(ledger.claim(lost, "t1"))
    finish(ledger.settle(lost, "t1", Lost()))
    for pause in (10, 20, 40, 60, 60):
        house.redis.zadd(KEYS.unknown(lost.listing), {ledger.record(lost): 1})
        _, unknowns = finish(ledger.unknowns.of(lost.listing))
        verdicts = [Verdict(unknown, "undecided") for unknown in unknowns]
        assert len(verdicts) == 1
        before = now_ms()
        finish(ledger.unknowns.judge(lost.listing, "t", verdicts, Rests(1, 10, 60)))
        after = now_ms()
        due = int(house.redis.hget(ledger.record(lost), "rb") or 0)
        # The script read the clock between these two moments, however far apart they are.
        assert before - 1 <= due - pause * 1000 <= after + 1


@pytest.mark.parametrize("actor", ["add_contact", "create_group"])
def test_an_answer_outweighs_a_record_that_was_lost(
    house: House, ledger: Ledger, task: Callable[..., Task], actor: str
) -> None:
    """Redis failed over to a replica that did not have the record yet."""
    job = task("job", actor)
    finish(ledger.claim(job, "t1"))
    house.redis.delete(ledger.record(job))
    assert finish(ledger.settle(job, "t1", Lost())).ours
    record = house.redis.hgetall(ledger.record(job))
    assert (record[b"s"], record[b"fp"]) == (b"unknown", job.fingerprint.encode())
    # The baseline is lost as well, so no group of the name may be taken for this job's.
    assert record.get(b"bl") == (b'["*"]' if actor == "create_group" else None)
    # A lost record whose call was answered becomes `done`.
    house.redis.delete(ledger.record(job))
    house.redis.sadd("acks", "job")
    assert finish(ledger.settle(job, "t1", Done(events=[], outcome="{}"))).ours
    assert house.redis.hget(ledger.record(job), "s") == b"done"


def test_an_answer_outweighs_a_record_that_says_that_nobody_knows(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """The worker stood still beyond its lease and was taken for dead; then the answer to its call came."""
    job = task("job")
    finish(ledger.claim(job, "t1"))
    house.redis.hset(ledger.record(job), "le", now_ms() - 1)
    assert finish(ledger.claim(job, "t2")).verb == "read_back"
    assert house.redis.hget(ledger.record(job), "s") == b"unknown"
    assert finish(ledger.settle(job, "t1", Done(events=[], outcome="{}"))).answered
    assert house.redis.hget(ledger.record(job), "s") == b"done"


def test_what_is_not_settled_is_remembered_longer_than_what_is(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    short = Ledger(SyncRunner(house.redis), KEYS, replace(LONG_POLICY, ttl=3.0))
    job = task("job")
    week = 7 * 86400
    finish(short.claim(job, "t1"))
    assert house.redis.ttl(short.record(job)) > week
    finish(short.settle(job, "t1", Lost()))
    assert house.redis.ttl(short.record(job)) > week
    # The dead letter may be sent again for a week, and that job must read back first.
    house.redis.hset(short.record(job), "t", "t2")
    finish(short.settle(job, "t2", EndedUnknown(events=[], reason="{}")))
    assert house.redis.hget(short.record(job), "s") == b"unknown"
    assert house.redis.ttl(short.record(job)) > week
    other = task("other")
    finish(short.claim(other, "t3"))
    finish(short.settle(other, "t3", Done(events=[], outcome="{}")))
    assert house.redis.pttl(short.record(other)) <= 3000


def test_a_listing_that_tells_of_nobody_still_puts_the_reader_to_rest(house: House, ledger: Ledger) -> None:
    """Otherwise a reader that has ended would keep the reader lock for as long as a call may take."""
    listing = "contacts:sms:gro_1"
    house.redis.set(KEYS.reader(listing), "t", px=HOUR_MS)
    finish(ledger.unknowns.judge(listing, "t", [], Rests(60, 10, 60)))
    assert house.redis.get(KEYS.reader(listing)) == b"rest"
    assert 0 < house.redis.pttl(KEYS.reader(listing)) <= 60_000
