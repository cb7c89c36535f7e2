"""How many messages one process may have in hand: one that cannot begin here should wait in Redis, where another process can take it."""

from __future__ import annotations

import threading
from collections import Counter

from delivery.shares import LEAST_SHARE, LISTINGS, most_reads

__all__ = ["Places"]

#: If more messages wait than all workers have places for, a process takes this share more, so that no place waits for a fetch.
SPARE = 0.5
#: With room for fewer messages than this, wait a moment for more room rather than fetch one by one.
LEAST_FETCH = 8


class Places:
    """Counts the messages that the consumers of one process have in hand. For any thread."""

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        #: Each queue may have this many in hand, whatever the others have: a lane without a message at hand would miss its turn.
        self._least = max(1, int(concurrency * LEAST_SHARE))
        self._spare = max(1, round(concurrency * SPARE))
        #: Listings that wait for one of their few places would otherwise take room from all other queues.
        self._most = {LISTINGS: most_reads(concurrency)}
        self._held: Counter[str] = Counter()
        self._changed = threading.Condition()

    def take(self, queue: str) -> None:
        """Note that a message of the queue is in hand."""
        with self._changed:
            self._held[queue] += 1

    def leave(self, queue: str) -> None:
        """Note that a message of the queue is no longer in hand."""
        with self._changed:
            self._held[queue] -= 1
            self._changed.notify_all()

    def room(self, queue: str, waiting: int = 0) -> int:
        """Return how many more messages of the queue may be fetched; ``waiting`` is how many wait there per worker."""
        spare = self._spare if waiting >= self._concurrency else 0
        free = self._concurrency + spare - self._held.total()
        room = max(0, free, self._least - self._held[queue])
        return min(room, max(0, self._most[queue] - self._held[queue])) if queue in self._most else room

    def worth_a_fetch(self, waiting: int) -> int:
        """Return how much room is worth a fetch: more while spare messages are in hand, since those can begin meanwhile."""
        return max(LEAST_FETCH, self._spare // 2) if waiting >= self._concurrency else LEAST_FETCH

    def wait_for_room(self, queue: str, waiting: int, timeout: float) -> int:
        """Wait for room, for ``timeout`` seconds at most. Return how much room there is."""
        with self._changed:
            self._changed.wait_for(lambda: self.room(queue, waiting) > 0, timeout=timeout)
            return self.room(queue, waiting)
