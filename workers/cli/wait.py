"""How a command waits for the answers to jobs: patiently, and saying why."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

import redis

from config import Settings
from workers.cli.output import say
from workers.lookup import Lookup, in_words
from workers.redis_link import Patience
from workers.stream import answered_ids, follow

__all__ = ["NoAnswer", "Wait", "tell_of_redis"]

#: How long a command waits before it says why, and how often it looks whether the reason is another one, in seconds.
WHY_SECONDS = 5.0


class NoAnswer(Exception):  # noqa: N818 - says what came of the waiting
    """The time is over; the message says where the first job is that has no answer."""


def tell_of_redis(text: str) -> None:
    """Say that Redis is away, or back."""
    say(text, err=True)


class Wait:
    """Waits for the answers to some jobs of ours, for ``seconds`` at most."""

    def __init__(
        self, client: redis.Redis, settings: Settings, message_ids: Iterable[str], seconds: float
    ) -> None:
        self._client = client
        self._settings = settings
        self._missing = dict.fromkeys(message_ids, 0)
        self._seconds = seconds
        self._ends_at = time.monotonic() + seconds
        self._why_at = time.monotonic() + WHY_SECONDS
        self._told = ""
        self._patience = Patience(tell_of_redis, lambda _: self._is_over())

    def answers(self, after: str) -> Iterator[dict[str, Any]]:
        """Yield each event that answers one of the jobs, of those after this entry of the stream, until all are answered.

        Raises:
            NoAnswer: the time was over first.
        """
        coming = follow(self._client, self._settings.events_stream, after, patience=self._patience)
        while self._missing:
            try:
                entry = next(coming)
                if entry is None and time.monotonic() > self._why_at:
                    self._say_why()
                    self._why_at = time.monotonic() + WHY_SECONDS
            except redis.RedisError as error:
                if not self._patience.is_away:
                    raise
                raise NoAnswer(
                    f"no answer within {self._seconds:g} s: Redis does not answer; the job is enqueued"
                ) from error
            if entry is not None and (message_id := self._answers(entry)):
                began = time.monotonic()
                yield entry.event
                # A long listing takes a while to draw, and a pager stops whoever writes to it: that is no waiting.
                self._ends_at += time.monotonic() - began
                self._missing[message_id] += 1
                if self._missing[message_id] >= entry.event["data"].get("pages", 1):
                    del self._missing[message_id]
            if self._missing and self._is_over():
                raise NoAnswer(f"no answer within {self._seconds:g} s: {self._why()}")

    def _answers(self, entry: Any) -> str | None:
        return next((name for name in answered_ids(entry.event) if name in self._missing), None)

    def _is_over(self) -> bool:
        return time.monotonic() > self._ends_at

    def _why(self) -> str:
        first = next(iter(self._missing))
        found = self._patience.ask(lambda: Lookup(self._client, self._settings).by_ids([first]))
        others = len(self._missing) - 1
        return in_words(found.get(first)) + (f" (and {others:,} more)" if others else "")

    def _say_why(self) -> None:
        """Say why there is no answer yet, once for each reason, however its numbers change."""
        why = self._why()
        if (reason := re.sub(r"\d", "", why)) != self._told:
            self._told = reason
            say(f"no answer yet: {why}", err=True)
