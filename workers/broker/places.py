"""How many messages one process may have in hand: what cannot begin here had better wait where another process may take it."""

from __future__ import annotations

import threading
from collections import Counter

from delivery.shares import LEAST_SHARE, LISTINGS, LISTINGS_SHARE

__all__ = ["Places"]

#: Where more waits than all workers could begin, so much more is taken, so that no place waits for a fetch.
SPARE = 0.5
#: While there is room for no more than so many, wait a moment for more rather than fetch one by one.
LEAST_FETCH = 8


class Places:
    """Counts what the consumers of one process have in hand. For any thread."""

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        #: Each queue may fill so many whatever the others have in hand: without a message at hand a lane would miss its turn.
        self._least = max(1, int(concurrency * LEAST_SHARE))
        self._spare = max(1, round(concurrency * SPARE))
        #: Listings that wait for one of their few places would keep places from all others.
        self._most = {LISTINGS: max(1, int(concurrency * LISTINGS_SHARE))}
        self._held: Counter[str] = Counter()
        self._changed = threading.Condition()

    def take(self, queue: str) -> None:
        """A message of the queue is in hand."""
        with self._changed:
            self._held[queue] += 1

    def leave(self, queue: str) -> None:
        """One is not any more."""
        with self._changed:
            self._held[queue] -= 1
            self._changed.notify_all()

    def room(self, queue: str, waiting: int = 0) -> int:
        """Return how many more messages of the queue may be fetched; ``waiting`` is how many wait there for each worker."""
        spare = self._spare if waiting >= self._concurrency else 0
        free = self._concurrency + spare - self._held.total()
        room = max(0, free, self._least - self._held[queue])
        return min(room, max(0, self._most[queue] - self._held[queue])) if queue in self._most else room

    def worth_a_fetch(self, waiting: int) -> int:
        """Return how much room is worth a fetch: more while spare messages are in hand, which begin meanwhile."""
        return max(LEAST_FETCH, self._spare // 2) if waiting >= self._concurrency else LEAST_FETCH

    def wait_for_room(self, queue: str, waiting: int, timeout: float) -> int:
        """Wait for room. Return how much there is; none when ``timeout`` seconds are over."""
        with self._changed:
            self._changed.wait_for(lambda: self.room(queue, waiting) > 0, timeout=timeout)
            return self.room(queue, waiting)
