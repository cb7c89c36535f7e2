"""An idle worker, of one process and of twelve: commands a second, CPU an hour, and how soon it picks up a new job."""

from __future__ import annotations

import statistics
import time
from datetime import datetime

from benchmarks.measuring import cpu_seconds, house, pause, table
from sandbox import Sandbox
from tests.harness import House, RunningWorker

SAMPLE_SECONDS = 20.0
PICK_UPS = 500
#: Worker processes of one supervisor.
PROCESSES = (1, 12)


def _idle(place: House, worker: RunningWorker) -> tuple[float, float]:
    """Return how many scripts and commands all its processes send a second, and the CPU-seconds that they take an hour."""
    children = worker.children()
    place.redis.config_resetstat()
    cpu = sum(map(cpu_seconds, children))
    seconds = pause(SAMPLE_SECONDS)
    cpu = sum(map(cpu_seconds, children)) - cpu
    stats = place.redis.info("commandstats")
    sent = sum(stats[name]["calls"] for name in ("cmdstat_evalsha", "cmdstat_blmove") if name in stats)
    return sent / seconds, cpu / seconds * 3600


def _pick_ups(place: House, group: str) -> list[float]:
    """Return how many milliseconds after its push each job was called."""
    waits = []
    for number in range(PICK_UPS):
        pushed = time.time()
        place.answer(
            place.enqueue("add_contact", channel="sms", group_id=group, phone=f"+3247100{number:04d}")
        )
        called = datetime.fromisoformat(place.sandbox.requests()[-1]["time"]).timestamp()
        waits.append((called - pushed) * 1000)
        pause(0.01 * (number % 7))
    return waits


def main() -> None:
    """Measure a worker with default settings, all five queues."""
    rows = []
    with Sandbox() as sandbox, house(sandbox) as place:
        group = place.new_group()
        for number, processes in enumerate(PROCESSES):
            worker = place.worker("--processes", str(processes), WORKER_HEARTBEAT_SECONDS=15)
            place.answer(
                place.enqueue("add_contact", channel="sms", group_id=group, phone=f"+3247000000{number}")
            )
            sent, cpu = _idle(place, worker)
            rows += [
                (f"{processes} processes, commands a second", f"{sent:.1f}"),
                (f"{processes} processes, CPU-seconds an hour", f"{cpu:.0f}"),
            ]
            if processes == 1:
                waits = _pick_ups(place, group)
                percentiles = statistics.quantiles(waits, n=100)
                rows += [
                    ("pick-up, median", f"{statistics.median(waits):.1f} ms"),
                    ("pick-up, 99 of 100", f"{percentiles[98]:.1f} ms"),
                    ("pick-up, longest", f"{max(waits):.1f} ms"),
                ]
            worker.terminate()
    table(rows)
