"""A busy worker: CPU-seconds per 1,000 jobs and jobs a second, the API answering after 100 ms, 64 jobs in flight."""

from __future__ import annotations

import time

from benchmarks.measuring import cpu_seconds, fill, house, table
from sandbox import Sandbox
from tests.harness import wait_for

JOBS = 5_000
WARM = 500


def main() -> None:
    """Measure one process of 64, without a rate limit."""
    with Sandbox() as sandbox, house(sandbox) as place:
        group = place.new_group()
        sandbox.settings(latency_ms=100)
        worker = place.worker("--concurrency", "64")
        (child,) = worker.children()
        fill(place, group, JOBS + WARM)
        wait_for(lambda: place.redis.xlen("coupontools:events") >= WARM, what="the start")
        done, began, cpu = place.redis.xlen("coupontools:events"), time.monotonic(), cpu_seconds(child)
        wait_for(
            lambda: place.redis.xlen("coupontools:events") >= JOBS + WARM, seconds=600, what="all answers"
        )
        jobs = JOBS + WARM - done
        seconds, cpu = time.monotonic() - began, cpu_seconds(child) - cpu
    table(
        [
            ("CPU-seconds per 1,000 jobs", f"{cpu / jobs * 1000:.2f}"),
            ("jobs a second", f"{jobs / seconds:.0f}"),
        ]
    )


if __name__ == "__main__":
    main()
