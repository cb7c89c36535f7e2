"""How far batches have come, as delivery counts them (delivery/lua/batch.lua)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

from config.keys import Keys
from delivery import batch_key, cancelled_field, is_cancelled
from workers.redis_state import time_of
from workers.throughput import count_of, left_of_batch, read_per_minute

__all__ = ["Batch", "read_batch", "read_batches"]


@dataclass(slots=True)
class Batch:
    """A batch's counts; ``total``, ``waiting``, ``began_at`` and ``left_seconds`` are None until they are known."""

    batch_id: str
    total: int | None
    answered: int
    succeeded: int
    replayed: int
    failed: dict[str, int]
    waiting: int | None
    began_at: str | None
    #: At the present pace of the queue that its jobs are on. Until one of them is answered, all that wait there count.
    left_seconds: float | None
    cancelled: bool


def read_batch(client: redis.Redis, keys: Keys, batch_id: str) -> Batch | None:
    """Return a batch; None if there is none of this id (any more).

    Raises:
        redis.RedisError: Redis could not be asked.
    """
    return _read(client, keys, batch_key(keys, batch_id), read_per_minute(client, keys))


def read_batches(client: redis.Redis, keys: Keys, *, first: int = 0, most: int = 0) -> Iterator[Batch]:
    """Yield the batches, the one that was answered last first: ``most`` of them (0 for all), after leaving out ``first``.

    Raises:
        redis.RedisError: Redis could not be asked.
    """
    paces = read_per_minute(client, keys)
    digests: Any = client.zrevrange(keys.batches, first, first + most - 1 if most else -1)
    for digest in digests:
        if batch := _read(client, keys, keys.batch(digest.decode("utf-8", "replace")), paces):
            yield batch


def _read(client: redis.Redis, keys: Keys, key: str, paces: dict[str, float]) -> Batch | None:
    fields: Any = client.hgetall(key)
    found = {name.decode("utf-8", "replace"): value for name, value in fields.items()}
    told = {name: value.decode("utf-8", "replace") for name, value in found.items()}
    if "id" not in told:
        return None
    counts = {name: count_of(value) for name, value in found.items()}
    numbers = {name: count for name, count in counts.items() if count is not None and name != "id"}
    total, answered = numbers.get("size"), numbers.get("answered", 0)
    mark: Any = client.hget(keys.cancelled, cancelled_field(told["id"]))
    waiting = None if total is None else max(0, total - answered)
    lane = told.get("lane", "")
    return Batch(
        batch_id=told["id"],
        total=total,
        answered=answered,
        succeeded=numbers.get("succeeded", 0),
        replayed=numbers.get("replayed", 0),
        failed={
            name.removeprefix("failed:"): count
            for name, count in numbers.items()
            if name.startswith("failed:")
        },
        waiting=waiting,
        began_at=time_of(numbers["began_at"]) if "began_at" in numbers else None,
        left_seconds=None
        if waiting is None
        else left_of_batch(client, keys, lane, waiting, paces.get(lane, 0.0), begun=answered > 0),
        cancelled=is_cancelled(mark, numbers.get("began_at", 0)),
    )
