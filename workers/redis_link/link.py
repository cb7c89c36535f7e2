"""Whether Redis answers: one log line when it stops and one when it is back, however many threads and jobs notice."""

from __future__ import annotations

import logging
import threading
import time

import redis.exceptions

__all__ = ["Link", "is_outage", "is_replica_now"]

#: The standard library's: structlog loads rich, and a health check that needs Redis needs neither.
log = logging.getLogger("workers.redis")

#: How Redis's errors begin while it runs but cannot serve: loading, a replica, out of memory, disk full, a failover, a long script.
_NOT_NOW = (
    "LOADING",
    "READONLY",
    "OOM",
    "MISCONF",
    "MASTERDOWN",
    "NOREPLICAS",
    "BUSY ",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "UNBLOCKED",
)
#: redis-py turns some of them into classes, whose text lacks the word.
_NOT_NOW_CLASSES = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
    redis.exceptions.ClusterDownError,
)
#: How long a process waits before it tries again, in seconds: soon after the first failure, then less often.
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0


def is_outage(error: BaseException) -> bool:
    """Return whether this error means that Redis cannot serve now, rather than that the command was wrong."""
    if isinstance(error, redis.exceptions.ResponseError):
        return isinstance(error, _NOT_NOW_CLASSES) or any(word in str(error) for word in _NOT_NOW)
    if isinstance(error, redis.exceptions.DataError):
        return False
    return isinstance(error, redis.exceptions.RedisError | OSError)


def is_replica_now(error: BaseException) -> bool:
    """Return whether a replica answered: after a failover the old connections lead to the wrong server for good."""
    if isinstance(error, redis.exceptions.ReadOnlyError):
        return True
    return isinstance(error, redis.exceptions.ResponseError) and "READONLY" in str(error)


class Link:
    """The process's view of Redis, shared by all that send commands: each thread and the loop under a name of its own.

    Redis counts as back when every one whose command failed has had an answer: a full Redis serves some commands and refuses others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._without: set[str] = set()
        self._lost_at = 0.0
        self._back_at = 0.0
        self._pauses: dict[str, float] = {}
        #: How often a command failed after one that was answered. Who remembers this number can tell later whether one failed since.
        self.losses = 0

    @property
    def up(self) -> bool:
        """Whether nobody waits for Redis."""
        return not self._without

    def lost(self, who: str, error: BaseException, began: float) -> float:
        """Note that a command of ``who``, begun at ``began`` (``time.monotonic()``), failed. Return the seconds to wait before the next."""
        with self._lock:
            if who in self._without:
                self._pauses[who] = min(LONGEST_PAUSE_SECONDS, self._pauses[who] * 1.5)
                return self._pauses[who]
            self.losses += 1
            if not self._without and began < self._back_at:
                # The command began before Redis came back: its failure belongs to the outage that is over and was logged.
                return FIRST_PAUSE_SECONDS
            if not self._without:
                self._lost_at = time.monotonic()
                log.error("redis.unavailable", extra={"error": f"{type(error).__name__}: {error}"})
            self._without.add(who)
            self._pauses[who] = FIRST_PAUSE_SECONDS
            return FIRST_PAUSE_SECONDS

    def retire(self, who: str) -> None:
        """Forget ``who``, which sends no more commands; the others show whether Redis is back."""
        with self._lock:
            if len(self._without) > 1:
                self._without.discard(who)

    def answered(self, who: str) -> None:
        """Note that a command of ``who`` was answered."""
        if who not in self._without:
            return
        with self._lock:
            self._without.discard(who)
            if not self._without:
                self._back_at = time.monotonic()
                away_ms = round((self._back_at - self._lost_at) * 1000)
                log.warning("redis.recovered", extra={"away_ms": away_ms})
