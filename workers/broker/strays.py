"""Finds strays: messages whose id is in no list and no set. The list was deleted or evicted, or nobody knows the worker that had them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import redis
import structlog

from workers.broker.durable import DurableBroker
from workers.broker.scripts import SCRIPTS
from workers.redis_link import ThreadRunner

__all__ = ["Strays"]

log = structlog.get_logger("workers.caretaker")

#: How many ids of a list, and how many messages, are read at once, and how many of those messages put_back.lua judges at once.
IDS_AT_ONCE = 1000
MESSAGES_AT_ONCE = 100
JUDGED_AT_ONCE = 100
#: How many ids of a list are held in memory at once; if the list is longer, the messages are looked through several times.
REMEMBERED = 200_000
#: About how many strays of a queue one search puts back; the next search finds the rest.
MOST = 100_000
#: How long a message must have been astray, in seconds: a producer may write it a moment before it pushes its id.
ASTRAY_SECONDS = 5.0
#: How long one turn of the search may take, and how long the search rests after it, in seconds.
TURN_SECONDS = 0.01
REST_SECONDS = 0.05
#: How long a search rests between turns while it waits for ASTRAY_SECONDS to pass, in seconds.
TICK_SECONDS = 0.25


class Strays:
    """Searches one queue after another, in steps that take Redis a millisecond or so. Belongs to the caretaker's thread."""

    def __init__(self, broker: DurableBroker, client: redis.Redis) -> None:
        self._keys = broker.keys
        self._client = client
        self._runner = ThreadRunner(client)
        self._search: Iterator[float] | None = None

    def begin(self, queues: list[str]) -> None:
        """Search these queues, unless a search is under way."""
        if self._search is None:
            self._search = self._search_all(queues)

    def turn(self) -> float | None:
        """Search on for a moment. Return how long to rest before the next turn, in seconds; None when there is nothing to search.

        Raises:
            redis.RedisError: Redis could not be asked; the next search begins anew.
        """
        search, end = self._search, time.monotonic() + TURN_SECONDS
        self._search = None
        for rest in search or ():
            if rest or time.monotonic() > end:
                self._search = search
                return rest or REST_SECONDS
        return None

    def _search_all(self, queues: list[str]) -> Iterator[float]:
        """Search, and yield after each step how long to rest, in seconds."""
        for queue in queues:
            astray: list[bytes] = []
            for some in self._candidates(queue):
                astray += self._stand_nowhere(queue, some) if some else []
                yield 0.0
                if len(astray) >= MOST:
                    break
            if not astray:
                continue
            seen, back = time.monotonic(), 0
            while time.monotonic() - seen < ASTRAY_SECONDS:
                yield TICK_SECONDS
            for at in range(0, len(astray), JUDGED_AT_ONCE):
                back += len(self._stand_nowhere(queue, astray[at : at + JUDGED_AT_ONCE], puts=True))
                yield 0.0
            if back:
                log.error("queue.put_back", queue=queue, messages=back, problem="they stood in no list")

    def _candidates(self, queue: str) -> Iterator[list[bytes]]:
        """Yield ids of messages that are not in the queue's list, some at a time; an empty list is a pause."""
        keys = self._keys.queue(queue)
        length: Any = self._client.llen(keys.ready)
        parts = 1 + length // REMEMBERED
        for part in range(parts):
            listed: set[int] = set()
            at = 0
            # Read the list from its end: fetches at its head shift nothing, and a push only makes some ids be seen twice.
            while ids := self._ids_in_list(keys.ready, at):
                listed.update(number for number in map(hash, ids) if number % parts == part)
                at += IDS_AT_ONCE
                yield []
            cursor = b"0"
            while True:
                cursor, ids = self._runner.run(SCRIPTS["ids"], [keys.bodies], [cursor, MESSAGES_AT_ONCE])
                yield [each for each in ids if hash(each) % parts == part and hash(each) not in listed]
                if cursor == b"0":
                    break

    def _ids_in_list(self, ready: str, at: int) -> list[bytes]:
        ids: Any = self._client.lrange(ready, -at - IDS_AT_ONCE, -at - 1)
        return list(ids)

    def _stand_nowhere(self, queue: str, ids: list[bytes], *, puts: bool = False) -> list[bytes]:
        its = self._keys.queue(queue)
        keys: list[Any] = [its.ready, its.bodies, its.delayed, self._keys.parked, *self._outstanding(queue)]
        told: list[bytes] = []
        for at in range(0, len(ids), JUDGED_AT_ONCE):
            told += self._runner.run(
                SCRIPTS["put_back"],
                keys,
                ["1" if puts else "", queue, *ids[at : at + JUDGED_AT_ONCE]],
            )
        return told

    def _outstanding(self, queue: str) -> list[bytes]:
        """Return the keys of all sets of outstanding ids that exist, those of stock brokers too.

        The keys are bytes: a stock broker may have any name, and one that is not UTF-8 can't be sent as text.
        """
        workers: Any = self._client.hkeys(self._keys.workers)
        strangers: Any = self._client.zrevrange(self._keys.heartbeats, 0, IDS_AT_ONCE - 1)
        with self._client.pipeline(transaction=False) as pipeline:
            names = [
                self._keys.acks(name.decode("utf-8", "surrogateescape"), queue).encode(
                    "utf-8", "surrogateescape"
                )
                for name in {*workers, *strangers}
            ]
            for name in names:
                pipeline.exists(name)
            return [name for name, there in zip(names, pipeline.execute(), strict=True) if there]
