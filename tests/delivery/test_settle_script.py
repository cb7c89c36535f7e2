"""What settle.lua writes: when a message is due again, what counts towards an outage, which pages are remembered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from actors import JOBS
from config.keys import Keys
from delivery import Ledger, Task
from delivery.policy import OUTAGE_THRESHOLD
from delivery.settlement import Done, Lost, NoSettlement, Settlement, Signal, Waiting
from tests.harness import House
from tests.harness.ledger_steps import LedgerSteps
from tests.harness.sync_ledger import finish, now_ms

KEYS = Keys()
HOUR_MS = 3_600_000


@pytest.mark.parametrize("op", [Waiting, Lost])
def test_a_delay_never_outlasts_the_deadline(
    house: House, ledger: Ledger, task: Callable[..., Task], op: type[Waiting | Lost]
) -> None:
    job = task("job", patience=3600)
    finish(ledger.claim(job, "t1"))
    assert finish(ledger.settle(job, "t1", op(delay=2 * HOUR_MS))).ours
    # A lost call is looked up five seconds before the deadline: at the deadline it would be too late.
    moment = 5000 if op is Lost else 0
    assert house.redis.zscore("delayed", "job") == job.deadline - moment


@pytest.mark.parametrize(
    ("took", "opens"),
    [(2 * HOUR_MS, False), (0, True)],
    ids=["began before the last good answer", "began after it"],
)
def test_a_time_out_counts_for_the_breaker_only_if_its_call_began_after_the_last_good_answer(
    house: House, ledger: Ledger, task: Callable[..., Task], took: int, opens: bool
) -> None:
    """Otherwise slow calls that began together would hold an account that has answered since."""
    run = OUTAGE_THRESHOLD - 1
    calls = "sms/add_contact"
    house.redis.hset(KEYS.troubles, mapping={f"run:{calls}": run, f"well:{calls}": now_ms() - HOUR_MS})
    signal = Signal(word="outage", call="add_contact", channel="sms", took=took)
    settled = finish(ledger.settle(task("job"), "t1", NoSettlement(), signal))
    assert bool(settled.changes.began) is opens
    assert house.redis.hexists(KEYS.holds, "sms/outage/add_contact") == opens
    assert int(house.redis.hget(KEYS.troubles, f"run:{calls}") or 0) == run + opens


def test_a_listing_in_one_batch_replaces_the_pages_of_an_earlier_one(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """Otherwise a replay would answer with the pages of both."""
    job = task("job", "list_contacts")
    finish(ledger.claim(job, "t1"))
    house.redis.rpush(KEYS.pages(job.job.actor, job.digest), "old 1", "old 2")
    assert finish(ledger.settle(job, "t1", Done(events=[], outcome="{}", pages=["new 1"]))).ours
    assert finish(ledger.pages(job)) == [b"new 1"]


@pytest.mark.parametrize("settlement", [Done(events=[], outcome="{}"), Lost(), Waiting()], ids=lambda s: s.op)
def test_a_call_under_an_id_that_was_answered_meanwhile_frees_its_name(
    house: House, ledger: Ledger, task: Callable[..., Task], settlement: Settlement
) -> None:
    """Two messages with one id and two jobs are carried out at the same time: the second one's name must not stay taken for months."""
    first, second = task("first", "create_group"), task("second", "create_group")
    second = dataclasses.replace(
        second,
        message_id="first",
        job=JOBS["create_group"].parse({"channel": "sms", "name": "Burger"}),
        fingerprint="",
    )
    for job, token in ((first, "t1"), (second, "t2")):
        assert finish(ledger.claim(job, token)).verb == "call"
        finish(ledger.renew(job, token, []))
    assert finish(ledger.settle(first, "t1", Done(events=[("told", "{}")], outcome="{}"))).answered
    settled = finish(ledger.settle(second, "t2", settlement))
    assert (settled.ours, settled.used, settled.answered) == (False, True, False)
    # The second message is still there to be set aside, and the first answer is the only one.
    assert house.redis.sismember("acks", "second")
    assert house.redis.xlen(KEYS.events) == 1
    house.redis.delete(KEYS.pace)
    if settlement.op == "lost":
        # Another message of the same job reads back first.
        house.redis.sadd("acks", "again")
        again = dataclasses.replace(second, message_id="again", fingerprint=second.fingerprint)
        again.receipt = dataclasses.replace(second.receipt, id="again")
        assert finish(ledger.claim(again, "t4")).verb == "read_back"
        return
    other = dataclasses.replace(
        task("other", "create_group"), job=second.job, fingerprint="other", key="other"
    )
    assert finish(ledger.claim(other, "t3")).verb == "call"


def test_what_was_found_is_settled_by_whoever_was_told_first(house: House) -> None:
    """With two messages of one lost call, each claim would otherwise take the record from the other and make its settlement stale."""
    steps = LedgerSteps(house.redis, "add_contact")
    steps.enqueue("a")
    steps.enqueue("a")
    steps.fetch("w1", 2)
    first, second = steps.messages
    steps.claim(first, "w1")
    steps.send(steps.flights[0])
    steps.settle(steps.flights[0], "lost")
    steps.read_back_falls_due("a")
    steps.claim(second, "w1")
    steps.read_listing(steps.flights[0], lambda: True)
    steps.judge(steps.flights[0])
    steps.delayed_fall_due()
    steps.fetch("w2", 2)
    steps.claim(second, "w1")
    steps.claim(first, "w2")
    assert [flight.verb for flight in steps.flights] == ["found", "found"]
    steps.settle(steps.flights[0], "done")
    assert second.events == 1
    steps.check_messages()
    steps.check_records()
