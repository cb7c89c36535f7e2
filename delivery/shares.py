"""How the lanes share the places of one process, and which lane gets the next one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

__all__ = ["LANES", "LEAST_SHARE", "LISTINGS", "Shares", "most_reads"]

#: The lanes in the order of their urgency, each with its weight. A lane with work gets at least its weight's share of the pace and of the
#: places. Every queue is a lane.
LANES: Final = MappingProxyType({"webhooks": 8, "groups": 4, "contacts": 4, "reads": 2, "bulk": 2})
#: The lane whose jobs are listings. Only listings can take long, so they, read backs included, get no more than this share of the places.
LISTINGS = "reads"
LISTINGS_SHARE = 0.25
#: A lane with work gets this share of the places before any other lane gets more, in a process with at least this many places.
LEAST_SHARE = 0.1
PLACES_TO_SHARE = 5


def _least(concurrency: int) -> int:
    return max(1, int(concurrency * LEAST_SHARE)) if concurrency >= PLACES_TO_SHARE else 0


def _most_listings(concurrency: int) -> int:
    return max(1, int(concurrency * LISTINGS_SHARE))


def most_reads(concurrency: int) -> int:
    """Return how many listings the lane ``reads`` may have at once. It leaves a lane's share of them to others, which need listings, too.

    Otherwise listings that drip would stop each `create_group`, and each read back, until they end.
    """
    return max(1, _most_listings(concurrency) - _least(concurrency))


class Shares:
    """Shares ``concurrency`` places among the lanes by weight (stride scheduling)."""

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._least = _least(concurrency)
        self._most_listings = _most_listings(concurrency)
        self._most_reads = most_reads(concurrency)
        self._inside = dict.fromkeys(LANES, 0)
        self._taken = 0
        self._listings = 0
        #: Since when all places are taken and no job has left (`time.monotonic()`); None while one is free. Other threads may read it.
        self.full_since: float | None = None
        #: How many places each lane has had, divided by its weight: its pass; and the pass of the lane that was let in last.
        self._passes = dict.fromkeys(LANES, 0.0)
        self._turn = 0.0

    def in_flight(self) -> dict[str, int]:
        """Return how many jobs of each lane have a place. Other threads may ask."""
        return dict(self._inside)

    @property
    def are_taken(self) -> bool:
        """Is no place free?"""
        return self._taken >= self._concurrency

    @property
    def may_list(self) -> bool:
        """Is there room for one more listing?"""
        return self._listings < self._most_listings

    def may_take(self, lane: str) -> bool:
        """May a job of this lane have a place, if one is free?"""
        return lane != LISTINGS or (self._inside[LISTINGS] < self._most_reads and self.may_list)

    def take(self, lane: str) -> None:
        """Note that a job of the lane takes a place."""
        self._turn = max(self._passes[lane], self._turn)
        self._passes[lane] = self._turn + 1 / LANES[lane]
        self._inside[lane] += 1
        self._taken += 1
        if self.are_taken:
            self.full_since = time.monotonic()
        if lane == LISTINGS:
            self._listings += 1

    def leave(self, lane: str) -> None:
        """Note that a job of the lane leaves its place."""
        self._inside[lane] -= 1
        self._taken -= 1
        self.full_since = None
        if lane == LISTINGS:
            self._listings -= 1

    @contextmanager
    def listing(self) -> Iterator[None]:
        """Count a listing that a job of another lane reads in the block."""
        self._listings += 1
        try:
            yield
        finally:
            self._listings -= 1

    def rank(self, lane: str) -> tuple[bool, float]:
        """Return a sort key: first the lanes below their least share, then the one that has had the least for its weight."""
        return self._inside[lane] >= self._least, max(self._passes[lane], self._turn)
