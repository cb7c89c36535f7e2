"""Follow the answers to an import's jobs, by the counts of their batch, until all are there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from config.keys import Keys
from delivery import batch_key
from workers.imports.pace import BULK
from workers.imports.progress import Answers, Stopped, Watcher
from workers.redis_link import Patience
from workers.throughput import count_of, left_of_batch, read_per_minute

__all__ = ["Following"]

#: How often the counts are looked at, in seconds.
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Counts:
    """A batch's counts at one moment, without jobs that services have put on other lanes under its id."""

    enqueued: int = 0
    answered: int = 0
    succeeded: int = 0
    failed: int = 0
    known: bool = False


class Following:
    """Follows a batch. Made before the import runs, so that earlier answers do not count, unless the ``whole`` batch is this import's.

    Raises:
        redis.RedisError: Redis could not be asked.
    """

    def __init__(self, client: redis.Redis, keys: Keys, batch_id: str, *, whole: bool = False) -> None:
        self._client = client
        self._keys = keys
        self._batch = batch_key(keys, batch_id)
        self._before = Counts() if whole else self._counts()

    def look(self, enqueued: int) -> Answers:
        """Return what has come so far of the ``enqueued`` rows.

        Raises:
            redis.RedisError: Redis could not be asked.
            Stopped: Redis has forgotten the batch.
        """
        now, before = self._counts(), self._before
        if enqueued and not now.known:
            raise Stopped(
                "Redis does not know this batch any more, so nobody knows how it went", batch_known=False
            )
        waiting = max(0, now.enqueued - now.answered + self._answered_elsewhere())
        pace = read_per_minute(self._client, self._keys).get(BULK, 0.0)
        return Answers(
            enqueued,
            now.succeeded - before.succeeded,
            now.failed - before.failed,
            waiting,
            left_of_batch(
                self._client, self._keys, BULK, waiting, pace, begun=now.answered > before.answered
            ),
        )

    def follow(self, enqueued: int, watcher: Watcher, signals: Sequence[int]) -> Answers:
        """Wait until all jobs of the batch are answered, also while Redis is away. Return what came of the ``enqueued`` rows.

        Raises:
            Stopped: by a signal; the jobs go on. Or Redis has forgotten the batch.
        """
        patience = Patience(watcher.say, lambda _: bool(signals))
        while True:
            try:
                answers = patience.ask(lambda: self.look(enqueued))
            except redis.RedisError:
                if not patience.is_away:
                    raise
                raise Stopped("stopped while Redis did not answer", redis_away=True) from None
            watcher.answered(answers)
            if not answers.waiting:
                return answers
            if signals:
                raise Stopped("stopped; the jobs go on")
            time.sleep(LOOK_SECONDS)

    def _answered_elsewhere(self) -> int:
        """Return how many of the jobs that were answered before had not been put into the batch by an import."""
        return max(0, self._before.answered - self._before.enqueued)

    def _counts(self) -> Counts:
        found: Any = self._client.hgetall(self._batch)
        told = {
            name.decode("utf-8", "replace"): number
            for name, count in found.items()
            if (number := count_of(count)) is not None
        }
        of_services: Counter[str] = Counter()
        for name, count in told.items():
            lane, _, outcome = name.partition("|")
            if outcome and lane != BULK:
                of_services[outcome] += count
        return Counts(
            enqueued=told.get("enqueued", 0),
            answered=told.get("answered", 0) - of_services.total(),
            succeeded=told.get("succeeded", 0) - of_services["succeeded"],
            failed=_failed(told) - _failed(of_services),
            known=bool(found),
        )


def _failed(counts: Mapping[str, int]) -> int:
    return sum(count for name, count in counts.items() if name.startswith("failed:"))
