"""The lanes share the account's pace and a process's places, so that none stops another; the figures are printed (pytest -s)."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.harness import House, message, wait_for

LONG = "CHAOS_SCALE" in os.environ
#: How long a flood is watched, in seconds.
FLOOD_SECONDS = 20 if LONG else 6
RATE = 20


def contacts(group_id: str, count: int, first: int = 0, **more: Any) -> list[dict[str, Any]]:
    """Return the arguments of ``count`` different add_contact jobs."""
    return [
        {"channel": "sms", "group_id": group_id, "phone": f"+3248{first + number:07d}", **more}
        for number in range(count)
    ]


def calls(house: House) -> Counter[str]:
    return Counter(entry["endpoint"] for entry in house.sandbox.requests())


def enqueue_bulk(house: House, jobs: list[dict[str, Any]]) -> list[str]:
    ids = []
    for job in jobs:
        _, redis_id, body = message("add_contact", job)
        house.push("bulk", redis_id, json.dumps(body | {"queue_name": "bulk"}))
        ids.append(str(body["message_id"]))
    return ids


@contextmanager
def flood(house: House, webhook_id: Callable[[], str], per_second: float) -> Iterator[None]:
    """Enqueue forged webhooks, each with a body of its own, until the end of the block."""
    ending = threading.Event()

    def run() -> None:
        while not ending.wait(1 / per_second):
            body = {"id": webhook_id(), "type": "coupon_claimed", "session": uuid.uuid4().hex}
            house.enqueue("verify_webhook", payload=body)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@pytest.mark.parametrize("ids", ["fresh ids", pytest.param("one id", marks=pytest.mark.chaos)])
def test_forged_webhooks_take_no_other_lane_s_share(house: House, ids: str) -> None:
    """Thirty forged webhooks a second, at a pace of twenty: more than the account could ever ask about."""
    group_id = house.new_group()
    house.worker(WORKER_PROCESSES=2, COUPONTOOLS_RATE_LIMIT=RATE)
    one = "evt_" + "f" * 20
    with flood(house, (lambda: one) if ids == "one id" else lambda: f"evt_{uuid.uuid4().hex[:20]}", 30):
        wait_for(lambda: calls(house)["webhook/verification"] > 10, show=house.log_tail)
        house.enqueue_many("add_contact", contacts(group_id, 50 * FLOOD_SECONDS))
        house.enqueue_many("list_groups", [{"channel": "sms"}] * 20 * FLOOD_SECONDS)
        house.enqueue_many(
            "create_group", [{"channel": "email", "name": f"G{n}"} for n in range(10 * FLOOD_SECONDS)]
        )
        before, made = house.tally(), calls(house).total()
        some = FLOOD_SECONDS * RATE
        wait_for(lambda: calls(house).total() - made >= some, what=f"{some} calls more", show=house.log_tail)
        after, made = house.tally(), calls(house).total() - made
    share = {
        kind: (after[kind] - before[kind]) / made
        for kind in ("webhook.rejected", "contact.added", "group.created", "groups.listed")
    }
    sys.stdout.write(f"\nforged webhooks, {ids}, answered for each of {made} calls: {share}\n")
    assert share["contact.added"] >= 0.09
    assert share["groups.listed"] >= 0.09
    # A group costs two calls: one of them lists the baseline.
    assert share["group.created"] >= 0.045


def test_a_genuine_webhook_is_answered_at_once_whatever_else_waits(house: House) -> None:
    group_id = house.new_group()
    bodies = [house.sandbox.issue_webhook("coupon_claimed") for _ in range(5)]
    house.worker(WORKER_PROCESSES=2, COUPONTOOLS_RATE_LIMIT=10)
    house.enqueue_many("add_contact", contacts(group_id, 1000))
    enqueue_bulk(house, contacts(group_id, 300, first=5000))
    house.enqueue_many("list_contacts", [{"channel": "sms", "group_id": group_id}] * 50)
    wait_for(lambda: calls(house).total() >= 15, show=house.log_tail)
    waited = []
    for body in bodies:
        made = calls(house).total()
        event = house.answer(house.enqueue("verify_webhook", payload=body))
        waited.append(calls(house).total() - made)
        assert event["type"] == "coupontools.webhook.verified"
    sys.stdout.write(f"\ngenuine webhooks behind 1,350 jobs were answered after so many calls: {waited}\n")
    # A webhook's turn comes within a few slots.
    assert sorted(waited)[2] < 20


def test_a_single_contact_does_not_wait_for_an_import(house: House) -> None:
    group_id = house.new_group()
    house.worker(WORKER_PROCESSES=2, COUPONTOOLS_RATE_LIMIT=10)
    enqueue_bulk(house, contacts(group_id, 1000))
    wait_for(lambda: calls(house).total() >= 15, show=house.log_tail)
    waited = []
    for job in contacts(group_id, 5, first=9000):
        made = calls(house).total()
        house.answer(house.enqueue("add_contact", job))
        waited.append(calls(house).total() - made)
    sys.stdout.write(
        f"\nsingle contacts during an import of 1,000 were answered after so many calls: {waited}\n"
    )
    assert sorted(waited)[2] < 20


def test_listings_that_drip_leave_room_for_others_and_end(house: House) -> None:
    group_id = house.new_group(contacts=[{"phone": f"+3249{number:07d}"} for number in range(50)])
    house.sandbox.faults("trickle", endpoint="sms/userlist", interval_seconds=0.5)
    worker = house.worker(WORKER_CONCURRENCY=8, COUPONTOOLS_LISTING_TIMEOUT_SECONDS=4)
    slow = house.enqueue_many(
        "list_contacts", [{"channel": "sms", "group_id": group_id, "deadline_seconds": 20}] * 16
    )
    wait_for(lambda: calls(house)["sms/userlist"] >= 2, show=house.log_tail)
    began = time.monotonic()
    quick = house.enqueue_many("add_contact", contacts(group_id, 30))
    house.wait_answered(quick, seconds=15)
    assert house.tally()["contacts.failed"] < 16
    sys.stdout.write(
        f"\n30 contacts beside 16 listings that drip, 8 places: {time.monotonic() - began:.1f} s\n"
    )
    assert house.tally()["contact.added"] == 30
    wait_for(
        lambda: [line for line in worker.log_lines("job.finished") if line["outcome"] == "retrying"],
        what="the end of a listing",
    )
    answers = house.wait_answered(slow, seconds=90)
    assert {events[0]["data"]["error"]["kind"] for events in answers.values()} == {"expired"}


def test_listings_that_drip_do_not_stop_new_groups(house: House) -> None:
    """Each `create_group` lists first, and waited for those listings to end: for five minutes, by default."""
    group_id = house.new_group(contacts=[{"phone": f"+3249{number:07d}"} for number in range(50)])
    house.sandbox.faults("trickle", endpoint="sms/userlist", interval_seconds=0.5)
    house.worker(WORKER_PROCESSES=1, WORKER_CONCURRENCY=8, COUPONTOOLS_LISTING_TIMEOUT_SECONDS=120)
    house.enqueue_many("list_contacts", [{"channel": "sms", "group_id": group_id}] * 8)
    wait_for(lambda: calls(house)["sms/userlist"] >= 1, show=house.log_tail)
    groups = house.enqueue_many("create_group", [{"channel": "email", "name": f"G{n}"} for n in range(3)])
    house.wait_answered(groups, seconds=30)
    assert house.tally()["group.created"] == 3
    assert not house.tally()["contacts.listed"]


def test_a_process_that_stood_still_does_not_make_up_for_it(house: House) -> None:
    group_id = house.new_group()
    worker = house.worker(WORKER_PROCESSES=1, WORKER_CONCURRENCY=64, COUPONTOOLS_RATE_LIMIT=10)
    house.enqueue_many("add_contact", contacts(group_id, 300))
    wait_for(lambda: calls(house).total() >= 10, show=house.log_tail)
    [child] = worker.children()
    os.kill(child, signal.SIGSTOP)
    stopped = time.monotonic()
    wait_for(lambda: time.monotonic() - stopped > 3, what="a while")
    os.kill(child, signal.SIGCONT)
    woken = time.monotonic()
    wait_for(lambda: time.monotonic() - woken > 3, what="a while")
    times = [entry["monotonic"] for entry in house.sandbox.requests()]
    first_second = sum(woken <= at < woken + 1 for at in times)
    sys.stdout.write(f"\nafter 3 s of SIGSTOP at 10/s: {first_second} calls in the second of the waking\n")
    # First the slots that were reserved just before the stop, and then the pace.
    assert first_second <= 14


def test_a_deadline_passes_for_a_job_that_nobody_has_fetched(house: House) -> None:
    """The jobs have two seconds, and are behind a backlog of a minute."""
    group_id = house.new_group()
    house.worker(WORKER_PROCESSES=2, WORKER_CONCURRENCY=8, COUPONTOOLS_RATE_LIMIT=5)
    house.enqueue_many("add_contact", contacts(group_id, 300))
    hurried = house.enqueue_many("add_contact", contacts(group_id, 3, first=5000, deadline_seconds=2))
    began = time.monotonic()
    answers = house.wait_answered(hurried, seconds=30)
    sys.stdout.write(f"\na deadline of 2 s behind 300 jobs at 5/s: {time.monotonic() - began:.1f} s\n")
    assert {events[0]["data"]["error"]["kind"] for events in answers.values()} == {"expired"}
    # The jobs ended long before their turn.
    assert house.tally()["contact.added"] < 200
    assert house.redis.scard("coupontools:forward:contacts") <= 3
