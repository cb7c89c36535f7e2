"""How messages were answered: a failure leaves a key of its own, a success a mark among others (answered.lua, marks.lua)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from config.keys import Keys
from delivery.task import mark_of

__all__ = ["SECOND_MS", "kept_ms", "markers"]

#: A mark stores until when it is kept, in whole seconds.
SECOND_MS = 1000


def markers(client: redis.Redis, keys: Keys, message_ids: Sequence[str]) -> list[bytes | None]:
    """Return for each message how it was answered: ``+`` and more if it succeeded, ``-<digest> <Redis id>`` if it failed, ``!`` and more
    while its event is due; None if it was not answered.

    Raises:
        redis.RedisError: Redis could not be asked.
    """
    if not message_ids:
        return []
    with client.pipeline(transaction=False) as pipeline:
        pipeline.time()
        pipeline.mget([keys.answered(one) for one in message_ids])
        for one in message_ids:
            number, mark = mark_of(one)
            pipeline.hget(keys.marks(number), mark)
        (seconds, _), found, *marks = pipeline.execute()
    return [
        marker if marker is not None or mark is None or _until(mark) < seconds else b"+"
        for marker, mark in zip(found, marks, strict=True)
    ]


def kept_ms(client: redis.Redis, keys: Keys, message_id: str) -> int:
    """Return for how many milliseconds it is still remembered that a message was answered; 0 or less if it is not.

    Raises:
        redis.RedisError: Redis could not be asked.
    """
    left = int(client.pttl(keys.answered(message_id)))
    number, mark = mark_of(message_id)
    value: Any = client.hget(keys.marks(number), mark) if left < 0 else None
    if value is None:
        return left
    seconds, micros = client.time()
    return _until(value) * SECOND_MS - (seconds * 1000 + micros // 1000)


def _until(mark: bytes) -> int:
    """Return until which second (Unix) a mark is kept; 0 if it is no mark."""
    try:
        return int(mark[:8], 16)
    except ValueError:
        return 0
