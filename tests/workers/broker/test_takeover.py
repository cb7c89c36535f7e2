"""A dead worker's jobs are taken over in time, on an idle queue too; a live worker's never, however long they run."""

from __future__ import annotations

import os
import signal
import time

from tests.harness import House, wait_for


def _contacts(group: str, count: int, start: int = 0) -> list[dict[str, object]]:
    return [
        {"channel": "sms", "group_id": group, "phone": f"+3247{number:07d}"}
        for number in range(start, start + count)
    ]


def test_jobs_of_a_killed_process_are_taken_over_though_the_queue_is_idle(house: House) -> None:
    heartbeat = 3.0
    group = house.new_group()
    # The first attempt of each hangs until its worker is dead.
    house.sandbox.faults("hang_before", endpoint="sms/addcontact", count=5, seconds=60)
    victim = house.worker(
        "--concurrency", "8", WORKER_HEARTBEAT_SECONDS=heartbeat, COUPONTOOLS_TIMEOUT_SECONDS=60
    )
    ids = house.enqueue_many("add_contact", _contacts(group, 5))
    wait_for(lambda: len(house.sandbox.requests()) >= 5, what="five calls in flight")
    house.worker("--concurrency", "8", WORKER_HEARTBEAT_SECONDS=heartbeat)

    os.kill(victim.process.pid, signal.SIGKILL)
    for pid in victim.children():
        os.kill(pid, signal.SIGKILL)
    victim.kill()
    killed = time.monotonic()
    acks = _outstanding(house)
    wait_for(lambda: _outstanding(house) != acks, seconds=60, what="the takeover", show=house.log_tail)
    took = time.monotonic() - killed
    print(f"taken over {took:.1f} s after kill -9 with WORKER_HEARTBEAT_SECONDS={heartbeat:g}, idle queue")  # noqa: T201
    # The promise is twice the heartbeat; the rest is for a machine that has no time for its processes.
    assert took < 2 * heartbeat + (0 if os.environ.get("CHAOS_SCALE") else 10)
    assert len(house.workers[1].log_lines("worker.taken_over")) == 1
    # Each waits for the lease of the dead worker's call, a minute long, before anybody may ask again: taken over, none answered, none lost.
    assert house.redis.hlen("dramatiq:contacts.msgs") == len(ids)
    assert house.events() == []


def _outstanding(house: House) -> dict[bytes, int]:
    workers = house.redis.zrange("dramatiq:__heartbeats__", 0, -1)
    return {
        worker: house.redis.scard(f"dramatiq:__acks__.{worker.decode()}.contacts")
        for worker in workers
        if house.redis.scard(f"dramatiq:__acks__.{worker.decode()}.contacts")
    }


def test_a_single_process_killed_is_replaced_and_takes_over_its_own_jobs(house: House) -> None:
    group = house.new_group()
    house.sandbox.faults("hang_before", endpoint="sms/addcontact", count=4, seconds=2)
    worker = house.worker(WORKER_HEARTBEAT_SECONDS=2, COUPONTOOLS_TIMEOUT_SECONDS=2)
    ids = house.enqueue_many("add_contact", _contacts(group, 4))
    wait_for(lambda: len(house.sandbox.requests()) >= 4, what="four calls in flight")
    (child,) = worker.children()
    os.kill(child, signal.SIGKILL)
    answers = house.wait_answered(ids)
    assert all(len(events) == 1 for events in answers.values())
    assert house.counts()["surplus_contacts"] == 0
    assert worker.log_lines("worker.died")[0]["exit_code"] == -signal.SIGKILL
    assert worker.terminate() == 0


def test_nothing_is_taken_from_a_live_worker_whose_jobs_run_long(house: House) -> None:
    group = house.new_group()
    # Every slot is busy and the window is full, several heartbeats long.
    house.sandbox.faults("slow", endpoint="sms/addcontact", count=4, seconds=5)
    house.worker("--concurrency", "4", WORKER_HEARTBEAT_SECONDS=1, COUPONTOOLS_TIMEOUT_SECONDS=20)
    ids = house.enqueue_many("add_contact", _contacts(group, 10))
    wait_for(lambda: len(house.sandbox.requests()) >= 4, what="four calls in flight")
    house.worker("--queues", "webhooks", WORKER_HEARTBEAT_SECONDS=1)  # would take over, and runs no contacts
    answers = house.wait_answered(ids)
    assert all(len(events) == 1 for events in answers.values())
    assert not [line for worker in house.workers for line in worker.log_lines("worker.taken_over")]
    assert len(house.sandbox.requests()) == 10
    assert all(event["data"]["attempts"] == 1 for events in answers.values() for event in events)


def test_a_worker_frozen_and_woken_after_a_takeover_leaves_no_trace_of_its_own(house: House) -> None:
    group = house.new_group()
    house.sandbox.faults("slow", endpoint="sms/addcontact", count=3, seconds=1)
    frozen = house.worker(WORKER_HEARTBEAT_SECONDS=1)
    ids = house.enqueue_many("add_contact", _contacts(group, 3))
    wait_for(lambda: len(house.sandbox.requests()) >= 3, what="three calls in flight")
    frozen.signal_all(signal.SIGSTOP)
    # Queues that nobody else reads: what is taken over lies there until the frozen one wakes and settles.
    other = house.worker("--queues", "webhooks", WORKER_HEARTBEAT_SECONDS=1)
    wait_for(lambda: other.log_lines("worker.taken_over"), what="the takeover", show=house.log_tail)
    wait_for(lambda: house.redis.llen("dramatiq:contacts") == 3, what="three ids back on the queue")
    frozen.signal_all(signal.SIGCONT)
    answers = house.wait_answered(ids)
    wait_for(
        lambda: house.redis.hlen("dramatiq:contacts.msgs") == 0, what="nothing left over", show=house.log_tail
    )
    assert all(len(events) == 1 for events in answers.values())
    assert house.tally() == {"contact.added": 3}  # and no `message.rejected` for an id whose message had gone
    assert house.counts()["surplus_contacts"] == 0
