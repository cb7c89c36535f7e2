"""An idle worker: commands a second, CPU an hour, and how soon it picks up a new job."""

from __future__ import annotations

import statistics
import time
from datetime import datetime

from benchmarks.measuring import cpu_seconds, house, pause, table
from sandbox import Sandbox

SAMPLE_SECONDS = 20.0
PICK_UPS = 50


def main() -> None:
    """Measure one process with default settings, all four queues."""
    with Sandbox() as sandbox, house(sandbox) as place:
        group = place.new_group()
        worker = place.worker(WORKER_HEARTBEAT_SECONDS=15)
        place.answer(place.enqueue("add_contact", channel="sms", group_id=group, phone="+32470000000"))
        (child,) = worker.children()
        place.redis.config_resetstat()
        cpu = cpu_seconds(child)
        seconds = pause(SAMPLE_SECONDS)
        cpu = cpu_seconds(child) - cpu
        stats = place.redis.info("commandstats")
        sent = sum(stats[name]["calls"] for name in ("cmdstat_evalsha", "cmdstat_blmove") if name in stats)
        waits = []
        for number in range(PICK_UPS):
            pushed = time.time()
            place.answer(
                place.enqueue("add_contact", channel="sms", group_id=group, phone=f"+3247100{number:04d}")
            )
            called = datetime.fromisoformat(sandbox.requests()[-1]["time"]).timestamp()
            waits.append((called - pushed) * 1000)
            pause(0.01 * (number % 7))
    table(
        [
            ("commands a second", f"{sent / seconds:.1f}"),
            ("CPU-seconds an hour", f"{cpu / seconds * 3600:.0f}"),
            ("pick-up, median", f"{statistics.median(waits):.1f} ms"),
            ("pick-up, longest", f"{max(waits):.1f} ms"),
        ]
    )


if __name__ == "__main__":
    main()
