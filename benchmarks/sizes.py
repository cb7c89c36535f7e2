"""How much memory Redis needs for a job, all keys and Redis's own tables counted: while it waits, and once it is answered."""

from __future__ import annotations

from collections.abc import Callable

import redis

from benchmarks.measuring import fill, house, table
from sandbox import Sandbox
from tests.harness import House, wait_for

COUNT = 20_000


def main() -> None:
    """Enqueue, hold, answer and refuse COUNT jobs, and measure each time how Redis's memory has changed."""
    rows: list[tuple[str, str]] = []
    with Sandbox() as sandbox, house(sandbox) as place:
        client, group = place.redis, place.new_group()
        waiting = _gain(client, lambda: fill(client, group, COUNT))
        rows.append(("a job that waits", _per_job(waiting)))
        place.run("pause", "--reason", "sizes")
        worker = place.worker("--concurrency", "64")
        parked = _gain(
            client, lambda: wait_for(lambda: _parked(client) == COUNT, seconds=300, what="all parked")
        )
        rows.append(("a job that a hold has parked", _per_job(waiting + parked)))
        place.run("resume")
        _wait_events(place, COUNT)
        rows += [
            (f"an answered job, its {what}", _per_job(_loss(client, match))) for what, match in _ANSWERED
        ]
        # There is no such group.
        fill(client, "gro_999999999", COUNT, prefix=1)
        _wait_events(place, COUNT)
        dead = ["dramatiq:contacts.XQ", "dramatiq:contacts.XQ.msgs", "coupontools:dead:contacts"]
        rows.append(("a dead letter", _per_job(_loss(client, *dead))))
        rows += [
            (f"a failed job, its {what}", _per_job(_loss(client, match))) for what, match in _ANSWERED[1:]
        ]
        worker.terminate()
    table(rows)


_ANSWERED = (
    ("outcome", "coupontools:job:*"),
    ("marks", "coupontools:marks:*"),
    ("answer", "coupontools:answered:*"),
    ("event", "coupontools:events"),
)


def _parked(client: redis.Redis) -> int:
    return sum(client.zcard(key) for key in client.scan_iter("coupontools:parked:*|*", count=1000))


def _wait_events(place: House, count: int) -> None:
    wait_for(lambda: place.redis.xlen("coupontools:events") >= count, seconds=600, what="all answers")


def _used(client: redis.Redis) -> int:
    memory = client.info("memory")
    # Buffers come and go.
    return int(memory["used_memory"] - memory["mem_clients_normal"] - memory["mem_aof_buffer"])


def _gain(client: redis.Redis, change: Callable[[], object]) -> int:
    before = _used(client)
    change()
    return _used(client) - before


def _loss(client: redis.Redis, *matches: str) -> int:
    before = _used(client)
    for match in matches:
        names = list(client.scan_iter(match, count=5000))
        for start in range(0, len(names), 1000):
            client.delete(*names[start : start + 1000])
    return before - _used(client)


def _per_job(total: int) -> str:
    return f"{total / COUNT:.0f} bytes"
