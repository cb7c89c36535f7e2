"""Does a deep queue cost anything? Jobs a second with 10,000 and with 1,000,000 ready jobs, in turns."""

from __future__ import annotations

import statistics
import sys
import time

from benchmarks.measuring import fill, house, pause, table
from sandbox import Sandbox
from tests.harness import House, wait_for

DEPTHS = (10_000, 1_000_000)
TURNS = 3
WARM = 300
SAMPLE_SECONDS = 8.0


def _jobs_a_second(place: House) -> float:
    before = place.redis.xlen("coupontools:events")
    worker = place.worker("--concurrency", "64")
    wait_for(lambda: place.redis.xlen("coupontools:events") >= before + WARM, what="the start")
    done, began = place.redis.xlen("coupontools:events"), time.monotonic()
    pause(SAMPLE_SECONDS)
    rate = (place.redis.xlen("coupontools:events") - done) / (time.monotonic() - began)
    if worker.terminate() != 0:
        raise RuntimeError("the worker did not stop cleanly")
    return rate


def main(shallow: int = DEPTHS[0], deep: int = DEPTHS[1]) -> None:
    """Measure both depths in turns, so that any other load of the machine hits both."""
    with Sandbox() as sandbox, house(sandbox) as low, house(sandbox) as high:
        group = low.new_group()
        fill(high.redis, group, deep, prefix=1)
        rates: dict[str, list[float]] = {"shallow": [], "deep": []}
        for turn in range(TURNS):
            missing = max(0, shallow - low.redis.llen("dramatiq:contacts"))
            fill(low.redis, group, missing, prefix=2 + turn)
            rates["shallow"].append(_jobs_a_second(low))
            rates["deep"].append(_jobs_a_second(high))
        left = high.redis.llen("dramatiq:contacts")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    table(
        [
            (f"{shallow:,} ready", f"{medians['shallow']:.0f} jobs/s"),
            (f"{deep:,} ready", f"{medians['deep']:.0f} jobs/s ({left:,} left at the end)"),
            ("ratio", f"{medians['deep'] / medians['shallow']:.3f}"),
        ]
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
