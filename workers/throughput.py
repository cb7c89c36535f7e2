"""How many jobs of each lane are answered a minute now: delivery counts them in the step that answers them (lua/answered.lua)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from config.keys import Keys

if TYPE_CHECKING:
    import redis

__all__ = ["count_of", "counted", "left_of_batch", "left_seconds", "read_per_minute"]

#: This minute and the one before it: enough to be steady, and soon 0 when nothing is answered any more.
MINUTES: Final = 2
#: Jobs that were answered within a shorter time than this are counted as if they had taken so long: one job is no pace.
SHORTEST_SECONDS: Final = 5.0
#: A number of more digits has more than 64 bits, and no script of ours wrote it.
MOST_DIGITS: Final = 18


def read_per_minute(client: redis.Redis, keys: Keys) -> dict[str, float]:
    """Return how many jobs of each lane were answered a minute, over the last one to two minutes or since its first answer in them.

    A lane without answers is absent.

    Raises:
        redis.RedisError: Redis could not be asked.
    """
    seconds, micros = client.time()
    now = seconds + micros / 1e6
    answered: Counter[str] = Counter()
    began: dict[str, float] = {}
    this_minute = int(now // 60)
    for minute in range(this_minute - MINUTES + 1, this_minute + 1):
        counts: Any = client.hgetall(f"{keys.minutes}:{minute}")
        for name, count in counts.items():
            lane, outcome = counted(name)
            number = count_of(count)
            if number is None:
                continue
            if outcome == "first":
                began.setdefault(lane, number / 1000)
            else:
                answered[lane] += number
    return {
        lane: round(60 * count / max(SHORTEST_SECONDS, now - began.get(lane, now - 60)), 1)
        for lane, count in answered.items()
    }


def counted(field: bytes) -> tuple[str, str]:
    """Return the lane and the outcome that a field of a minute counts; a field ``first`` is the time of the lane's first answer instead."""
    lane, _, outcome = field.decode("utf-8", "replace").partition("|")
    return lane, outcome


def count_of(value: bytes) -> int | None:
    """Return a number that a script has counted; None if the value is something else."""
    return int(value) if value.isdigit() and len(value) <= MOST_DIGITS else None


def left_seconds(waiting: int, per_minute: float) -> float | None:
    """Return how long ``waiting`` jobs take at this pace, in seconds; None if none is answered."""
    if not waiting:
        return 0.0
    return round(60 * waiting / per_minute, 1) if per_minute else None


def left_of_batch(
    client: redis.Redis, keys: Keys, lane: str, waiting: int, per_minute: float, *, begun: bool
) -> float | None:
    """Return how long the ``waiting`` jobs of a batch take at this pace. ``begun``: is one of its jobs answered?

    Until then, jobs of others come first. Nobody knows how many stand behind the batch, so all that wait in its lane count.

    Raises:
        redis.RedisError: Redis could not be asked.
    """
    if waiting and per_minute and not begun:
        others: Any = client.hlen(keys.queue(lane).bodies)
        waiting = max(waiting, others)
    return left_seconds(waiting, per_minute)
