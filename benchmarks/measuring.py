"""What the measurements share: a house, the CPU time of a process, and a small table."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import redis

from sandbox import Sandbox
from tests.harness import House, message
from workers.embedded import EmbeddedRedis

__all__ = ["cpu_seconds", "fill", "house", "pause", "table"]

BATCH = 10_000


@contextmanager
def house(sandbox: Sandbox) -> Iterator[House]:
    """A house with a Redis of its own."""
    with EmbeddedRedis() as server, House(server, sandbox) as place:
        yield place


def cpu_seconds(pid: int) -> float:
    """Return the CPU-seconds that a process has used so far, in user and kernel mode; from /proc, so on Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fill(
    client: redis.Redis,
    group: str,
    count: int,
    *,
    prefix: int = 0,
    first: int = 0,
    more: dict[str, Any] | None = None,
) -> None:
    """Put ``count`` different contacts on the queue; ``prefix`` (0 to 9) and ``first`` keep the phones of several fills apart."""
    for start in range(first, first + count, BATCH):
        bodies: dict[Any, Any] = {}
        ids: list[str] = []
        for number in range(start, min(first + count, start + BATCH)):
            _, redis_id, body = message(
                "add_contact",
                {"channel": "sms", "group_id": group, "phone": f"+324{prefix}{number:08d}", **(more or {})},
            )
            bodies[redis_id] = orjson.dumps(body)
            ids.append(redis_id)
        with client.pipeline(transaction=False) as pipeline:
            pipeline.hset("dramatiq:contacts.msgs", mapping=bodies)
            pipeline.rpush("dramatiq:contacts", *ids)
            pipeline.execute()


def pause(seconds: float) -> float:
    """Let time pass; return how much did."""
    began = time.monotonic()
    time.sleep(seconds)
    return time.monotonic() - began


def table(rows: list[tuple[str, str]]) -> None:
    """Print names and figures below one another."""
    width = max(len(name) for name, _ in rows)
    for name, figure in rows:
        print(f"  {name:<{width}}  {figure}", flush=True)
