"""Who has the places of one process, and which lane is to have the next one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

__all__ = ["LANES", "LEAST_SHARE", "LISTINGS", "LISTINGS_SHARE", "Shares"]

#: The lanes in the order of their urgency, each with its weight: of the pace and of the places, a lane with work gets at least its weight's
#: share of all. Every queue is a lane.
LANES: Final = MappingProxyType({"webhooks": 8, "groups": 4, "contacts": 4, "reads": 2, "bulk": 2})
#: The lane whose jobs are listings. They alone can last, so they, and listings that read back, have no more than this share of the places.
LISTINGS = "reads"
LISTINGS_SHARE = 0.25
#: So much of the places goes to a lane with work before any other gets more, where there are so many places.
LEAST_SHARE = 0.1
PLACES_TO_SHARE = 5


class Shares:
    """Shares ``concurrency`` places among the lanes by weight (stride scheduling)."""

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._least = max(1, int(concurrency * LEAST_SHARE)) if concurrency >= PLACES_TO_SHARE else 0
        self._most_listings = max(1, int(concurrency * LISTINGS_SHARE))
        self._inside = dict.fromkeys(LANES, 0)
        self._taken = 0
        self._listings = 0
        #: Since when all places have been taken and none was left (`time.monotonic()`); None while one is free. Other threads may read it.
        self.full_since: float | None = None
        #: What each lane has had, in places for its weight; and the same of the lane that was let in last.
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
        return lane != LISTINGS or self.may_list

    def take(self, lane: str) -> None:
        """A job of the lane has a place."""
        self._turn = max(self._passes[lane], self._turn)
        self._passes[lane] = self._turn + 1 / LANES[lane]
        self._inside[lane] += 1
        self._taken += 1
        if self.are_taken:
            self.full_since = time.monotonic()
        if lane == LISTINGS:
            self._listings += 1

    def leave(self, lane: str) -> None:
        """It has left it."""
        self._inside[lane] -= 1
        self._taken -= 1
        self.full_since = None
        if lane == LISTINGS:
            self._listings -= 1

    @contextmanager
    def listing(self) -> Iterator[None]:
        """While a job of another lane reads a listing."""
        self._listings += 1
        try:
            yield
        finally:
            self._listings -= 1

    def rank(self, lane: str) -> tuple[bool, float]:
        """Return what is least for the lane that is next: that has less than its least share, then that had the least for its weight."""
        return self._inside[lane] >= self._least, max(self._passes[lane], self._turn)
