"""What a worker asks Redis for: no KEYS, no SCAN, few commands when idle, and a new job wakes it.

``python -m benchmarks idle`` measures how soon it wakes, and what an hour of idling costs.
"""

from __future__ import annotations

import os
import time

from tests.harness import House, wait_for

SAMPLE_SECONDS = 3.0


def waited_at(house: House) -> int:
    """Return how many clients wait for a list."""
    return sum("b" in client["flags"] for client in house.redis.client_list())


def test_an_idle_worker_costs_little_and_is_woken_by_a_job(fragile_house: House) -> None:
    house = fragile_house
    group = house.new_group()
    house.for_real()
    house.worker()
    house.answer(house.enqueue("add_contact", channel="sms", group_id=group, phone="+32470000000"))

    # The worker waits for the list of each queue: Redis wakes it, so it need not look every now and then.
    wait_for(lambda: waited_at(house) == 5, what="all five queues waited at")
    house.redis.config_resetstat()
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > SAMPLE_SECONDS, what="a while of idling")
    seconds = time.monotonic() - began
    stats = house.redis.info("commandstats")
    sent = {
        name: stats[f"cmdstat_{name}"]["calls"]
        for name in ("evalsha", "blmove")
        if f"cmdstat_{name}" in stats
    }
    per_second = sum(sent.values()) / seconds
    print(f"idle: {per_second:.1f} commands/s ({sent})")  # noqa: T201
    assert per_second < 30


def test_no_keys_and_no_scan(fragile_house: House) -> None:
    house = fragile_house
    group = house.new_group()
    worker = house.worker(WORKER_HEARTBEAT_SECONDS=1)
    house.push("contacts", "unreadable", "{")
    ids = house.enqueue_many(
        "add_contact",
        [{"channel": "sms", "group_id": group, "phone": f"+3247{number:07d}"} for number in range(50)],
    )
    ids.append(house.enqueue("list_groups", channel="sms"))
    ids.append(house.enqueue("create_group", channel="sms", name="New"))
    house.wait_answered(ids)
    for pid in worker.children():
        os.kill(pid, 9)
    wait_for(lambda: len(worker.log_lines("worker.taken_over")) == 1, what="a takeover")
    assert worker.terminate() == 0
    called = {name.removeprefix("cmdstat_") for name in house.redis.info("commandstats")}
    assert not called & {"keys", "scan", "sscan", "hscan", "zscan"}
