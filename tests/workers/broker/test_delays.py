"""Delayed jobs wait in Redis: they run in the order of their due times, whatever dies, and however many there are."""

from __future__ import annotations

import json
import os
import random
import signal
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.redis import RedisBroker

from tests.harness import House, message, wait_for


def _stock_delayed(house: House, jobs: list[tuple[dict[str, Any], float]]) -> list[str]:
    """Enqueue as a stock producer does; each job comes with its due time in Unix seconds."""
    ids = []
    with house.redis.pipeline(transaction=False) as pipeline:
        for arguments, due in jobs:
            _, redis_id, body = message("add_contact", arguments, queue_name="contacts.DQ")
            body["options"]["eta"] = int(due * 1000)
            pipeline.hset("dramatiq:contacts.DQ.msgs", redis_id, json.dumps(body))
            pipeline.rpush("dramatiq:contacts.DQ", redis_id)
            ids.append(str(body["message_id"]))
        pipeline.execute()
    return ids


def _last_call_at(house: House) -> float:
    return datetime.fromisoformat(house.sandbox.requests()[-1]["time"]).timestamp()


def _contact(group: str, number: int) -> dict[str, Any]:
    return {"channel": "sms", "group_id": group, "phone": f"+3247{number:07d}"}


def test_a_stock_producer_s_delay(house: House) -> None:
    group = house.new_group()
    house.worker()
    producer = RedisBroker(url=house.server.url)
    try:
        actor = dramatiq.actor(
            lambda **_: None, actor_name="add_contact", queue_name="contacts", broker=producer
        )
        # Taken before the send: the producer counts the delay from when it sends, which may be late on a busy machine.
        due = time.time() + 1.5
        sent = actor.send_with_options(kwargs=_contact(group, 1), delay=1500)
        # Only the empty stock queue shows the move: on a busy machine, the job may be due before the test could find it in `delayed`.
        wait_for(lambda: house.redis.llen("dramatiq:contacts.DQ") == 0, what="the move")
        assert house.redis.hlen("dramatiq:contacts.DQ.msgs") == 0
        assert house.answer(sent.message_id)["type"] == "coupontools.contact.added"
        late = _last_call_at(house) - due
        assert late > -0.1
        # The places of these jobs become free again: send as many as may be in hand, and a few more.
        ids = [
            actor.send_with_options(kwargs=_contact(group, 10 + n), delay=1).message_id for n in range(150)
        ]
        house.wait_answered(ids)
        wait_for(lambda: house.redis.hlen("dramatiq:contacts.msgs") == 0, what="nothing left over")
        assert house.tally() == {"contact.added": 151}
    finally:
        producer.close()


@pytest.mark.story
def test_what_is_due_runs_in_due_order_ahead_of_the_queue(house: House) -> None:
    group = house.new_group()
    begin = time.time() - 100
    numbers = list(range(450))  # more than are moved at once
    random.Random(7).shuffle(numbers)  # noqa: S311 - an order, no secret
    ids = house.enqueue_many("add_contact", [_contact(group, 5000 + number) for number in range(20)])
    ids += _stock_delayed(house, [(_contact(group, number), begin + number / 100) for number in numbers])
    # A worker's first look moves the delayed jobs. Only then are jobs taken, so that their order shows.
    mover = house.worker("--queues", "webhooks")
    wait_for(lambda: house.redis.llen("dramatiq:contacts.DQ") == 0, what="the move", show=house.log_tail)
    mover.kill()
    house.worker("--queues", "contacts", "--concurrency", "1")
    house.wait_answered(ids)
    ran = [int(call["body"]["phone"].removeprefix("+3247")) for call in house.sandbox.requests()]
    delayed = [number for number in ran if number < 5000]
    # The job that is due last was pushed to the list, to wake a worker that waits there.
    assert [number for number in delayed if number != 449] == list(range(449))
    assert all(number < 5000 for number in ran[:449])


def test_a_delayed_job_runs_though_the_worker_was_killed_meanwhile(house: House) -> None:
    group = house.new_group()
    first = house.worker()
    (message_id,) = _stock_delayed(house, [(_contact(group, 1), time.time() + 2)])
    wait_for(lambda: house.redis.llen("dramatiq:contacts.DQ") == 0, what="the move")
    first.signal_all(signal.SIGKILL)
    house.worker()
    assert house.answer(message_id)["type"] == "coupontools.contact.added"
    assert house.tally() == {"contact.added": 1}


def _memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize("count", [20_000, pytest.param(100_000, marks=pytest.mark.chaos)])
def test_far_delays_cost_neither_memory_nor_time(house: House, count: int) -> None:
    group = house.new_group()
    worker = house.worker()
    house.answer(house.enqueue("add_contact", _contact(group, 1)))
    (child,) = worker.children()
    before = _memory_mb(child)
    far = time.time() + 86_400
    with house.redis.pipeline(transaction=False) as pipeline:
        for number in range(count):
            redis_id = f"far-{number}"
            body = {
                "queue_name": "contacts.DQ",
                "actor_name": "add_contact",
                "args": [],
                "kwargs": _contact(group, 100 + number),
                "options": {"redis_message_id": redis_id, "eta": int(far * 1000) + number},
                "message_id": str(uuid.UUID(int=number)),
                "message_timestamp": int(far * 1000),
            }
            pipeline.hset("dramatiq:contacts.DQ.msgs", redis_id, json.dumps(body))
            pipeline.rpush("dramatiq:contacts.DQ", redis_id)
            if number % 5000 == 4999:
                pipeline.execute()
        pipeline.execute()
    pushed = time.monotonic()
    due = time.time() + 1
    (message_id,) = _stock_delayed(house, [(_contact(group, 2), due)])
    house.answer(message_id)
    late = _last_call_at(house) - due
    wait_for(lambda: house.redis.zcard("coupontools:delayed:contacts") == count, what="the move")
    moved = time.monotonic() - pushed
    (message_id,) = _stock_delayed(house, [(_contact(group, 3), time.time())])
    due = time.time()
    house.answer(message_id)
    late_now = _last_call_at(house) - due
    grown = _memory_mb(child) - before
    print(  # noqa: T201 - the figures
        f"{count} far delays: moved within {moved:.1f} s of the last; the job due in 1 s began {late * 1000:.0f} ms late, "
        f"one due at once {late_now * 1000:.0f} ms; memory {before:.1f} MB {grown:+.1f} MB"
    )
    # If delays waited in the worker's memory, these two would be behind the far ones. A loaded machine is no fault.
    assert late_now < (1 if os.environ.get("CHAOS_SCALE") else 15)
    assert grown < 20
