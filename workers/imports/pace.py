"""How long the contacts of an import take, and how long their jobs may wait."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import redis

from config import Settings
from config.keys import Keys
from delivery import LANES
from workers.worker_list import read_workers

__all__ = ["BULK", "SURE_SHARE", "ImportTime", "duration"]

#: The queue of an import's jobs: a mass of contacts never delays a single one.
BULK: Final = "bulk"
#: The share of the pace that this lane gets, however much work the other lanes have.
SURE_SHARE: Final = LANES[BULK] / sum(LANES.values())
#: A deadline is this many times as long as the contacts take at the sure share: holds and outages take time, too.
DEADLINE_FACTOR: Final = 3
#: A longer deadline is of no use to anybody: a hundred years.
LONGEST_SECONDS: Final = 100 * 365 * 86400
#: Units, each with its seconds, and the number below which a duration is shown in this unit.
UNITS: Final = (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48), ("days", 86400, math.inf))


@dataclass(frozen=True, slots=True)
class ImportTime:
    """The pace at which an import is carried out."""

    #: API requests a second over all workers; 0 = no limit.
    rate: float
    #: After how long a job of this import expires.
    deadline_seconds: float
    #: Do its jobs carry the deadline? Else the worker's setting counts, which may be raised later.
    carried: bool

    @classmethod
    def of(cls, settings: Settings, client: redis.Redis | None, rows: int, given: int | None) -> ImportTime:
        """Return the pace and the deadline of an import of at most ``rows``; ``given`` is a deadline that somebody chose.

        Raises:
            redis.RedisError: Redis could not be asked.
        """
        rate, waiting = settings.coupontools_rate_limit, 0
        if client is not None:
            workers = read_workers(client, settings)
            rate = next((worker.rate for worker in workers if worker.rate is not None), rate)
            waiting = client.llen(Keys.of(settings).queue(BULK).ready)
        if given is not None:
            return cls(rate, given, carried=True)
        needed = math.ceil(DEADLINE_FACTOR * (rows + waiting) / (rate * SURE_SHARE)) if rate else 0
        if needed > settings.job_deadline_seconds:
            return cls(rate, min(needed, LONGEST_SECONDS), carried=True)
        return cls(rate, settings.job_deadline_seconds, carried=False)

    @property
    def arguments(self) -> dict[str, int]:
        """Return the arguments that each job gets from this."""
        return {"deadline_seconds": int(self.deadline_seconds)} if self.carried else {}

    def seconds(self, contacts: int, share: float = 1.0) -> float | None:
        """Return how long this many contacts take at a share of the pace; None if the pace has no limit."""
        return round(contacts / (self.rate * share), 1) if self.rate else None

    def told(self, contacts: int, wait: str = "wait") -> str:
        """Return for people how long this many contacts take. ``wait`` is the sentence's verb: "wait" or "would wait"."""
        pace, sure = self.seconds(contacts), self.seconds(contacts, SURE_SHARE)
        expire = f"a job expires after {duration(self.deadline_seconds)}"
        if pace is None or sure is None:
            return (
                f"{contacts:,} contacts {wait}; no pace is set, so nobody knows how long they take; {expire}"
            )
        return (
            f"{contacts:,} contacts {wait}: {duration(pace)} at the present pace ({self.rate:g} requests a second), {duration(sure)} at "
            f"the share of it that imports are sure of ({SURE_SHARE:.0%}); {expire}"
        )

    def expires_first(self, contacts: int) -> bool:
        """Return whether jobs would expire even if the other lanes have no work."""
        return (self.seconds(contacts) or 0) > self.deadline_seconds


def duration(seconds: float) -> str:
    """Return a time in the unit that people would use."""
    name, length = next((name, length) for name, length, most in UNITS if seconds < most * length)
    return f"{seconds / length:,.{int(length >= 3600)}f} {name}"
