"""The last two days, minute by minute: what was answered, from the counts that `status` uses, and how old the oldest job was."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import redis

from config.keys import Keys
from workers.state import QueueState
from workers.throughput import count_of, counted

__all__ = ["KEPT_MINUTES", "History", "Minute", "note_ages"]

#: How many minutes Redis keeps the counts of a minute.
KEPT_MINUTES: Final = 2 * 1440
#: Minutes that one round trip reads.
AT_ONCE: Final = 240
#: For how many minutes after its end a minute may still change, by answers whose scripts run late.
SETTLING_MINUTES: Final = 2


@dataclass(slots=True)
class Minute:
    """One minute; ``ages`` (seconds) leaves out lanes whose age nobody noted."""

    answered: Counter[tuple[str, str]] = field(default_factory=Counter)
    ages: dict[str, float] = field(default_factory=dict)


class History:
    """Reads minutes, each once when it is over."""

    def __init__(self) -> None:
        self._known: dict[int, Minute] = {}

    def read(self, client: redis.Redis, keys: Keys) -> tuple[int, dict[int, Minute]]:
        """Return the number of this minute, and every minute kept, by its number (minutes after 1970).

        Raises:
            redis.RedisError: Redis could not be asked.
        """
        seconds, _ = client.time()
        this = int(seconds) // 60
        known = {n: minute for n, minute in self._known.items() if this - KEPT_MINUTES < n <= this}
        missing = [n for n in range(this - KEPT_MINUTES + 1, this + 1) if n not in known]
        for begin in range(0, len(missing), AT_ONCE):
            some = missing[begin : begin + AT_ONCE]
            known |= dict(zip(some, _read(client, keys, some), strict=True))
        # Replaced in one step: several threads may read at once.
        self._known = {n: minute for n, minute in known.items() if n <= this - SETTLING_MINUTES}
        return this, known


def _read(client: redis.Redis, keys: Keys, numbers: list[int]) -> list[Minute]:
    with client.pipeline(transaction=False) as pipeline:
        for n in numbers:
            pipeline.hgetall(f"{keys.minutes}:{n}")
            pipeline.hgetall(f"{keys.ages}:{n}")
        told: list[Any] = pipeline.execute()
    return [_minute(counts, ages) for counts, ages in zip(told[::2], told[1::2], strict=True)]


def _minute(counts: dict[bytes, bytes], ages: dict[bytes, bytes]) -> Minute:
    minute = Minute()
    for name, count in counts.items():
        lane, outcome = counted(name)
        if outcome != "first" and (number := count_of(count)) is not None:
            minute.answered[lane, outcome] += number
    minute.ages = {
        lane.decode("utf-8", "replace"): number / 1000
        for lane, age in ages.items()
        if (number := count_of(age)) is not None
    }
    return minute


def note_ages(client: redis.Redis, keys: Keys, queues: dict[str, QueueState]) -> None:
    """Store for this minute how old the oldest job of each lane is; a lane without a job has the age 0.

    Raises:
        redis.RedisError: Redis could not be asked, or takes no writes.
    """
    seconds, _ = client.time()
    ages: dict[Any, Any] = {lane: round(1000 * (queue.oldest_seconds or 0)) for lane, queue in queues.items()}
    key = f"{keys.ages}:{int(seconds) // 60}"
    with client.pipeline(transaction=True) as pipeline:
        pipeline.hset(key, mapping=ages)
        pipeline.expire(key, KEPT_MINUTES * 60)
        pipeline.execute()
