"""How long `status` takes with a million jobs waiting; the aim is one second.

Run with ``python -m benchmarks.status [JOBS]``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import redis

from workers.embedded import EmbeddedRedis

BATCH = 10_000


def main(jobs: int = 1_000_000) -> None:
    """Fill a private Redis and ask five times."""
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        for start in range(0, jobs, BATCH):
            ids = [f"{number:036}" for number in range(start, start + BATCH)]
            with client.pipeline(transaction=False) as pipeline:
                pipeline.hset("dramatiq:contacts.msgs", mapping=dict.fromkeys(ids, "{}"))
                pipeline.rpush("dramatiq:contacts", *ids)
                pipeline.execute()
        times = []
        for _ in range(5):
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "workers.cli", "status", "--json"],
                env={**os.environ, "REDIS_URL": server.url},
                stdout=subprocess.PIPE,
                check=True,
            )
            times.append(time.perf_counter() - began)
            ready = json.loads(done.stdout)["queues"]["contacts"]["ready"]
        slow = client.info("commandstats")
        busiest = max(slow.items(), key=lambda item: item[1]["calls"] and item[1]["usec_per_call"])
    print(
        f"status with {ready:,} jobs waiting: {min(times):.2f} to {max(times):.2f} s, start of Python included"
    )
    print(f"slowest kind of command: {busiest[0].removeprefix('cmdstat_')}, {busiest[1]['usec_per_call']} µs")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
