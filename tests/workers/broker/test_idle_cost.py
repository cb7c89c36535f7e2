"""What a worker asks of Redis: no KEYS, no SCAN, few commands when idle, and a new job is picked up at once."""

from __future__ import annotations

import os
import statistics
import time
from datetime import datetime
from pathlib import Path

from tests.harness import House, wait_for

SAMPLE_SECONDS = 5.0
PICK_UPS = 15


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_idle_worker_costs_little_and_wakes_at_once(fragile_house: House) -> None:
    house = fragile_house
    group = house.new_group()
    worker = house.worker()
    house.answer(house.enqueue("add_contact", channel="sms", group_id=group, phone="+32470000000"))
    (child,) = worker.children()

    waits = []
    for number in range(PICK_UPS):
        message_id = house.enqueue(
            "add_contact",
            channel="sms",
            group_id=group,
            phone=f"+3247100{number:04d}",
            correlation_id=str(number),
        )
        pushed = time.time()
        house.answer(message_id)
        called = datetime.fromisoformat(house.sandbox.requests()[-1]["time"]).timestamp()
        waits.append((called - pushed) * 1000)
        # Long enough for the worker to be idle again, at another moment of its rounds each time.
        pause = time.monotonic() + 0.03 * (number % 5)
        wait_for(lambda end=pause: time.monotonic() >= end, what="a moment")

    house.redis.config_resetstat()
    began, cpu = time.monotonic(), _cpu_seconds(child)
    wait_for(lambda: time.monotonic() - began >= SAMPLE_SECONDS, what="the end of the sample")
    seconds, cpu = time.monotonic() - began, _cpu_seconds(child) - cpu
    stats = house.redis.info("commandstats")
    sent = {
        name: stats[f"cmdstat_{name}"]["calls"]
        for name in ("evalsha", "blmove")
        if f"cmdstat_{name}" in stats
    }
    per_second = sum(sent.values()) / seconds
    print(  # noqa: T201 - the figures
        f"idle: {per_second:.1f} commands/s ({sent}), {cpu / seconds * 3600:.0f} CPU-s an hour; "
        f"pick-up of a new job: median {statistics.median(waits):.1f} ms, longest {max(waits):.1f} ms"
    )
    assert statistics.median(waits) < 250  # 50 ms on a machine that does nothing else
    assert per_second < 30
    assert cpu / seconds < 0.15


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
