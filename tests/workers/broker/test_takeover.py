"""A dead worker's jobs are taken over in time, also on an idle queue; a live worker's jobs never are, however long they run."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.harness import House, message, wait_for


def _contacts(group: str, count: int, start: int = 0) -> list[dict[str, object]]:
    return [
        {"channel": "sms", "group_id": group, "phone": f"+3247{number:07d}"}
        for number in range(start, start + count)
    ]


def test_jobs_of_a_killed_process_are_taken_over_though_the_queue_is_idle(house: House) -> None:
    heartbeat = 3.0
    group = house.new_group()
    # The first call of each job hangs until its worker is dead.
    house.sandbox.faults("hang_before", endpoint="sms/addcontact", count=5, seconds=60)
    victim = house.worker(
        "--concurrency", "8", WORKER_HEARTBEAT_SECONDS=heartbeat, COUPONTOOLS_TIMEOUT_SECONDS=60
    )
    ids = house.enqueue_many("add_contact", _contacts(group, 5))
    wait_for(lambda: len(house.sandbox.requests()) >= 5, what="five calls in flight")
    house.worker("--concurrency", "8", WORKER_HEARTBEAT_SECONDS=heartbeat)

    # Read this before the worker dies: if the machine paused after that, the takeover might be over already.
    acks = _outstanding(house)
    os.kill(victim.process.pid, signal.SIGKILL)
    for pid in victim.children():
        os.kill(pid, signal.SIGKILL)
    victim.kill()
    killed = time.monotonic()
    wait_for(lambda: _outstanding(house) != acks, seconds=60, what="the takeover", show=house.log_tail)
    took = time.monotonic() - killed
    print(f"taken over {took:.1f} s after kill -9 with WORKER_HEARTBEAT_SECONDS={heartbeat:g}, idle queue")  # noqa: T201
    # The promise is twice the heartbeat; the rest is for a busy machine.
    assert took < 2 * heartbeat + (0 if os.environ.get("CHAOS_SCALE") else 40)
    wait_for(lambda: house.workers[1].log_lines("worker.taken_over"), what="the line")
    (line,) = house.workers[1].log_lines("worker.taken_over")
    (started,) = victim.log_lines("worker.started")
    assert (line["from_worker"], line["messages"]) == (started["worker"], 5)
    assert sorted(line["message_ids"]) == sorted(ids)
    assert line["worker"] != line["from_worker"]
    # Each job waits for the end of the dead worker's lease, a minute long: all were taken over, none is answered yet, none is lost.
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
    died = worker.wait_lines("worker.died")[0]
    assert (died["pid"], died["exit_code"]) == (child, -signal.SIGKILL)
    assert worker.log_lines("worker.started")[0]["pid"] == child
    assert worker.terminate() == 0


def test_nothing_is_taken_from_a_live_worker_whose_jobs_run_long(house: House) -> None:
    group = house.new_group()
    # For several heartbeats, every place is taken and the worker has as many messages in hand as it may.
    house.sandbox.faults("slow", endpoint="sms/addcontact", count=4, seconds=9)
    house.worker("--concurrency", "4", WORKER_HEARTBEAT_SECONDS=3, COUPONTOOLS_TIMEOUT_SECONDS=20)
    ids = house.enqueue_many("add_contact", _contacts(group, 10))
    wait_for(lambda: len(house.sandbox.requests()) >= 4, what="four calls in flight")
    # This worker may take jobs over, but runs no contacts.
    house.worker("--queues", "webhooks", WORKER_HEARTBEAT_SECONDS=3)
    answers = house.wait_answered(ids)
    assert all(len(events) == 1 for events in answers.values())
    assert not [line for worker in house.workers for line in worker.log_lines("worker.taken_over")]
    assert len(house.sandbox.requests()) == 10
    assert all(event["data"]["attempts"] == 1 for events in answers.values() for event in events)


def test_a_worker_frozen_and_woken_after_a_takeover_leaves_no_trace_of_its_own(house: House) -> None:
    group = house.new_group()
    # As long as a takeover takes: if an answer came before the freeze, there would be nothing to take over.
    house.sandbox.faults("slow", endpoint="sms/addcontact", count=3, seconds=5)
    frozen = house.worker(WORKER_HEARTBEAT_SECONDS=1, COUPONTOOLS_TIMEOUT_SECONDS=20)
    ids = house.enqueue_many("add_contact", _contacts(group, 3))
    wait_for(lambda: len(house.sandbox.requests()) >= 3, what="three calls in flight")
    frozen.signal_all(signal.SIGSTOP)
    # The other worker does not take the queue `contacts`: the jobs that it takes over wait there until the frozen one wakes and settles.
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


@pytest.mark.chaos
def test_workers_frozen_together_do_not_call_each_other_dead(house: House) -> None:
    """After a machine slept, each worker finds that the others were silent for long."""
    worker = house.worker(WORKER_PROCESSES=3, WORKER_HEARTBEAT_SECONDS=4)
    wait_for(lambda: house.redis.zcard("dramatiq:__heartbeats__") == 3, what="their first heartbeats")
    for _ in range(2):
        worker.signal_all(signal.SIGSTOP)
        seen = house.redis.zrange("dramatiq:__heartbeats__", 0, -1, withscores=True)
        wait_for(lambda: _now_ms(house) - 5000 > max(at for _, at in seen), what="a silence")  # noqa: B023
        woken = _now_ms(house)
        worker.signal_all(signal.SIGCONT)
        wait_for(
            lambda: (
                min(at for _, at in house.redis.zrange("dramatiq:__heartbeats__", 0, -1, withscores=True))
                > woken  # noqa: B023 - asked within this turn
            ),
            what="heartbeats again",
        )
    assert not worker.log_lines("worker.taken_over")
    assert house.redis.zcard("dramatiq:__heartbeats__") == 3


def _now_ms(house: House) -> float:
    seconds, micros = house.redis.time()
    return float(seconds * 1000 + micros / 1000)


@pytest.mark.chaos
def test_each_is_dead_by_its_own_pace(house: House) -> None:
    """While the setting is being changed, there are workers with the old and with the new one."""
    # This worker is so slow that it sends no second heartbeat during the test.
    house.worker(WORKER_HEARTBEAT_SECONDS=3600)
    wait_for(lambda: house.redis.zcard("dramatiq:__heartbeats__") == 1, what="its first heartbeat")
    quick = house.worker(WORKER_HEARTBEAT_SECONDS=1)
    wait_for(lambda: house.redis.zcard("dramatiq:__heartbeats__") == 2, what="the other's")
    (slow, seen), _ = house.redis.zrange("dramatiq:__heartbeats__", 0, -1, withscores=True)
    wait_for(lambda: _now_ms(house) - seen > 4000, what="a silence that is long for the other")
    assert house.redis.zscore("dramatiq:__heartbeats__", slow) == seen
    assert not quick.log_lines("worker.taken_over")


def test_a_dead_worker_from_the_future_is_missed_too(house: House) -> None:
    """Its last heartbeat was written before Redis's clock was set back."""
    group = house.new_group()
    queue, redis_id, body = message("add_contact", _contacts(group, 1)[0])
    house.redis.hset(f"dramatiq:{queue}.msgs", redis_id, json.dumps(body))
    house.redis.sadd(f"dramatiq:__acks__.gone.{queue}", redis_id)
    house.redis.zadd("dramatiq:__heartbeats__", {"gone": _now_ms(house) + 3_600_000})
    house.redis.hset("coupontools:workers", "gone", "{}")
    house.worker(WORKER_HEARTBEAT_SECONDS=1)
    assert house.answer(str(body["message_id"]))["type"] == "coupontools.contact.added"


def test_a_queue_whose_key_is_something_else_stops_no_other(house: House) -> None:
    house.redis.set("dramatiq:reads.DQ", "mistaken")
    worker = house.worker(WORKER_HEARTBEAT_SECONDS=1)
    group = house.new_group()
    _, redis_id, body = message("add_contact", _contacts(group, 1)[0], queue_name="contacts.DQ")
    body["options"]["eta"] = round(_now_ms(house)) + 500
    house.redis.hset("dramatiq:contacts.DQ.msgs", redis_id, json.dumps(body))
    house.redis.rpush("dramatiq:contacts.DQ", redis_id)
    assert house.answer(str(body["message_id"]))["type"] == "coupontools.contact.added"
    (_, first), *_ = house.redis.zrange("dramatiq:__heartbeats__", 0, -1, withscores=True)
    wait_for(
        lambda: house.redis.zrange("dramatiq:__heartbeats__", 0, -1, withscores=True)[0][1] > first,
        what="the next heartbeat",
    )
    assert len(worker.wait_lines("caretaker.fault")) == 1
