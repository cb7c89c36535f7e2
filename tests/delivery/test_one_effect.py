"""One effect, one answer, whatever the network and the machine do; the figures are printed (pytest -s)."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from typing import Any

import pytest

from tests.harness import House, wait_for

#: The full number under `make long`.
JOBS = 1000 if "CHAOS_SCALE" in os.environ else 400
WIRE_FAULTS = (
    {"kind": "close_before"},
    {"kind": "close_after"},
    {"kind": "reset", "carry_out": False},
    {"kind": "reset", "carry_out": True},
    {"kind": "cut_off", "carry_out": False},
    {"kind": "cut_off", "carry_out": True},
    {"kind": "bad_gateway", "carry_out": False},
    {"kind": "bad_gateway", "carry_out": True},
)


def fault_a_third(house: House, *faults: dict[str, Any], endpoints: list[str] | None = None) -> None:
    """Spoil a third of all calls, with each fault as often as the others."""
    left = 1 / 3
    for number, fault in enumerate(faults):
        # Each fault is drawn only for calls that no earlier one took.
        share = 1 / 3 / len(faults)
        probability = share / (1 - (1 / 3 - left))
        left -= share
        extra = {"endpoint": endpoints} if endpoints else {}
        house.sandbox.faults(**fault, probability=probability, seed=number, **extra)


def contacts(group_id: str, count: int, start: int = 0) -> list[dict[str, Any]]:
    """Return the arguments of ``count`` different add_contact jobs."""
    return [
        {"channel": "sms", "group_id": group_id, "phone": f"+3247{number:07d}"}
        for number in range(start, start + count)
    ]


def assert_each_once(house: House, answers: dict[str, list[dict[str, Any]]], count: int) -> None:
    """Check that no contact was lost or doubled, and that each job has exactly one event."""
    counts = house.counts()
    types = Counter(event["type"] for events in answers.values() for event in events)
    assert types == {"coupontools.contact.added": count}, types
    assert all(len(events) == 1 for events in answers.values())
    assert counts["surplus_contacts"] == 0, counts
    assert counts["contacts"] == count, counts


def report(what: str, house: House, began: float) -> None:
    """Print the figures."""
    stats = house.sandbox.stats()["total"]
    sys.stdout.write(f"\n{what}: {time.monotonic() - began:.1f} s, calls {stats}, {house.tally()}\n")


@pytest.mark.chaos
def test_a_third_of_all_calls_is_spoilt(house: House) -> None:
    group_id = house.new_group()
    fault_a_third(house, *WIRE_FAULTS)
    began = time.monotonic()
    house.worker(WORKER_PROCESSES=2)
    ids = house.enqueue_many("add_contact", contacts(group_id, JOBS))
    answers = house.wait_answered(ids, seconds=150)
    report(f"{JOBS} contacts, a third of all calls spoilt", house, began)
    assert_each_once(house, answers, JOBS)


@pytest.mark.chaos
def test_calls_that_hang_past_the_time_out(house: House) -> None:
    group_id = house.new_group()
    fault_a_third(house, {"kind": "hang_before"}, {"kind": "hang_after"}, endpoints=["sms/addcontact"])
    began = time.monotonic()
    house.worker(
        WORKER_PROCESSES=2, WORKER_CONCURRENCY=128, COUPONTOOLS_TIMEOUT_SECONDS=1, READ_BACK_AFTER_SECONDS=1
    )
    ids = house.enqueue_many("add_contact", contacts(group_id, JOBS))
    answers = house.wait_answered(ids, seconds=150)
    report(f"{JOBS} contacts, a third of all calls hang", house, began)
    assert_each_once(house, answers, JOBS)


@pytest.mark.chaos
def test_every_worker_process_killed_again_and_again(house: House) -> None:
    group_id = house.new_group()
    fault_a_third(house, *WIRE_FAULTS)
    house.sandbox.settings(latency_ms=150)
    began = time.monotonic()
    worker = house.worker(
        WORKER_PROCESSES=2,
        WORKER_HEARTBEAT_SECONDS=1,
        COUPONTOOLS_TIMEOUT_SECONDS=1,
        COUPONTOOLS_CONNECT_TIMEOUT_SECONDS=0.5,
    )
    ids = house.enqueue_many("add_contact", contacts(group_id, JOBS))
    kills = 0
    for answered in (JOBS // 10, JOBS // 4, JOBS // 2, JOBS * 2 // 3):
        wait_for(
            lambda answered=answered: house.redis.xlen("coupontools:events") >= answered,
            seconds=90,
            show=house.log_tail,
        )
        # Wait until both run again: on a busy machine the next kill would otherwise hit the processes that were killed before.
        worker.wait_started(2 + kills)
        for pid in worker.children():
            os.kill(pid, signal.SIGKILL)
            kills += 1
    answers = house.wait_answered(ids, seconds=150)
    report(f"{JOBS} contacts, {kills} processes killed", house, began)
    assert kills >= 6
    assert_each_once(house, answers, JOBS)


@pytest.mark.story
def test_one_listing_serves_a_whole_group(house: House) -> None:
    group_id = house.new_group()
    # Answers that are lost in a row are an outage, unless they can be read.
    house.sandbox.faults("shaped", shapes=["other_group"], endpoint="sms/addcontact", count=300)
    began = time.monotonic()
    house.worker(WORKER_PROCESSES=2, READ_BACK_AFTER_SECONDS=1)
    ids = house.enqueue_many("add_contact", contacts(group_id, 300))
    # While calls go on, one listing follows another, and a busy machine takes long for 300 calls. So keep the reader lock until then.
    (waiting,) = wait_for(lambda: list(house.redis.scan_iter("coupontools:unknown:*")), what="a lost answer")
    reader = waiting.replace(b":unknown:", b":reader:")
    house.redis.set(reader, "somebody", ex=600)
    added = "sms/addcontact"
    wait_for(lambda: house.sandbox.stats()["endpoints"][added]["calls"] >= 300, seconds=60, what="all calls")
    house.redis.delete(reader)
    answers = house.wait_answered(ids, seconds=90)
    report("300 contacts, every first answer lost", house, began)
    assert_each_once(house, answers, 300)
    assert all(event["data"]["reconciled"] for events in answers.values() for event in events)
    listings = house.sandbox.stats()["endpoints"]["sms/userlist"]["calls"]
    sys.stdout.write(f"listings: {listings}\n")
    assert listings <= 10


def test_groups_of_one_name_each_get_their_own(house: House) -> None:
    fault_a_third(house, *WIRE_FAULTS)
    began = time.monotonic()
    house.worker(WORKER_PROCESSES=2, WORKER_CONCURRENCY=32)
    jobs = [{"channel": "sms", "name": f"Name {n % 15}", "idempotency_key": f"key-{n}"} for n in range(60)]
    ids = house.enqueue_many("create_group", [*jobs, jobs[0]])
    answers = house.wait_answered(ids, seconds=200)
    report("60 groups of 15 names", house, began)
    data = [events[0]["data"] for message_id, events in answers.items() if message_id != ids[-1]]
    assert {events[0]["type"] for events in answers.values()} == {"coupontools.group.created"}
    assert all(len(events) == 1 for events in answers.values())
    assert len({told["group_id"] for told in data}) == 60
    # The repeated key has the same group.
    assert answers[ids[-1]][0]["data"]["group_id"] == answers[ids[0]][0]["data"]["group_id"]
    groups = house.sandbox.state()["groups"]
    assert house.counts()["groups"] == 60, groups
    assert Counter(told["name"] for told in data) == {f"Name {n}": 4 for n in range(15)}


def test_an_api_that_commits_after_the_clients_time_out(house: House) -> None:
    group_id = house.new_group()
    house.sandbox.faults(
        "hang_before",
        endpoint="sms/addcontact",
        count=40,
        probability=1,
        commit_after_seconds=2.0,
        seconds=30,
    )
    house.worker(COUPONTOOLS_TIMEOUT_SECONDS=1, READ_BACK_AFTER_SECONDS=3)
    began = time.monotonic()
    ids = house.enqueue_many("add_contact", contacts(group_id, 40))
    answers = house.wait_answered(ids, seconds=90)
    report("40 contacts, committed 1 s after the time-out", house, began)
    assert_each_once(house, answers, 40)


def test_a_listing_without_addresses_never_leads_to_a_second_call(house: House) -> None:
    group_id = house.new_group("email", contacts=[{"email": "there@example.com"}])
    house.sandbox.faults("close_after", endpoint="email/addcontact", count=5, probability=1)
    house.worker()
    jobs = [
        {"channel": "email", "group_id": group_id, "email": f"ada{n}@example.com", "deadline_seconds": 5}
        for n in range(5)
    ]
    ids = house.enqueue_many("add_contact", jobs)
    answers = house.wait_answered(ids, seconds=60)
    assert [events[0]["data"]["error"]["kind"] for events in answers.values()] == ["unknown"] * 5
    stats = house.sandbox.stats()["endpoints"]
    assert stats["email/addcontact"]["calls"] == 5
    # A retry of a dead letter keeps its key, so it reads back before any call. The listing now has addresses, so the contact is found.
    house.sandbox.settings(email_listing=True)
    again = house.enqueue_many("add_contact", [{**job, "deadline_seconds": 60} for job in jobs])
    told = house.wait_answered(again, seconds=60)
    assert {events[0]["type"] for events in told.values()} == {"coupontools.contact.added"}
    assert all(events[0]["data"]["reconciled"] for events in told.values())
    assert house.sandbox.stats()["endpoints"]["email/addcontact"]["calls"] == 5


@pytest.mark.parametrize("departed", [False, True], ids=["before bytes left", "after bytes left"])
def test_a_worker_frozen_past_its_lease(house: House, departed: bool) -> None:
    group_id = house.new_group()
    settings = {
        "WORKER_HEARTBEAT_SECONDS": 1,
        "COUPONTOOLS_TIMEOUT_SECONDS": 1,
        "COUPONTOOLS_CONNECT_TIMEOUT_SECONDS": 0.5,
        "COUPONTOOLS_RATE_LIMIT": 0 if departed else 5,
    }
    if departed:
        house.sandbox.faults("slow", endpoint="sms/addcontact", seconds=0.8, probability=1, count=30)
    first = house.worker(**settings)
    ids = house.enqueue_many("add_contact", contacts(group_id, 30))
    wait_for(lambda: house.sandbox.stats()["total"]["calls"] >= 2, show=house.log_tail)
    first.signal_all(signal.SIGSTOP)
    second = house.worker(**{**settings, "COUPONTOOLS_RATE_LIMIT": 0})
    answers = house.wait_answered(ids, seconds=90)
    first.signal_all(signal.SIGCONT)
    # The woken worker goes on: a job that is enqueued now may be carried out by either.
    more = house.enqueue_many("add_contact", contacts(group_id, 10, start=500))
    house.wait_answered(more, seconds=60)
    assert second.terminate() == 0
    assert first.terminate() == 0
    assert_each_once(house, house.wait_answered([*ids, *more]), 40)
    assert answers.keys() == set(ids)
