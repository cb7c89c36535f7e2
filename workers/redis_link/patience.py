"""Lets commands that wait or follow outlast an outage: they ask Redis again until it answers, and say so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import redis

from workers.redis_link.link import is_outage, trouble_of

__all__ = ["Patience"]

T = TypeVar("T")

PAUSE_SECONDS = 0.5


class Patience:
    """Asks Redis, again and again while it is away. ``say`` is called once when Redis is away, and once when it is back.

    ``give_up`` is called before each pause with the seconds that Redis has been away, and returns whether to stop waiting.
    """

    def __init__(
        self, say: Callable[[str], None], give_up: Callable[[float], bool] = lambda _: False
    ) -> None:
        self._say = say
        self._give_up = give_up
        self._away_since: float | None = None

    @property
    def is_away(self) -> bool:
        """Whether Redis did not answer when it was last asked."""
        return self._away_since is not None

    def ask(self, question: Callable[[], T]) -> T:
        """Return what ``question`` returns, which asks Redis and may be asked again.

        Raises:
            redis.RedisError: the question itself is wrong, or Redis is away and ``give_up`` returned True.
        """
        while True:
            try:
                answer = question()
            except redis.RedisError as error:
                if not is_outage(error):
                    raise
                self._wait(error)
                continue
            if self._away_since is not None:
                self._away_since = None
                self._say("Redis is back")
            return answer

    def _wait(self, error: redis.RedisError) -> None:
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._say(f"{trouble_of(error)}; waiting for it")
        if self._give_up(now - self._away_since):
            raise error
        time.sleep(PAUSE_SECONDS)
