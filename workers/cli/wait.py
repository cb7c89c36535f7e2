"""Wait for the answers to jobs, and say why they do not come yet."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

import redis

from config import Settings
from workers.cli.output import say
from workers.lookup import Found, Lookup, in_words
from workers.redis_link import Patience
from workers.stream import Event, answered_ids, end_of_stream, follow

__all__ = ["NoAnswer", "Wait", "tell_of_redis"]

#: How long a command waits before it says why, and how often it looks whether the reason has changed, in seconds.
WHY_SECONDS = 5.0


class NoAnswer(Exception):  # noqa: N818 - says what came of the waiting
    """The time is over, or an answer cannot come any more; the message says where the first job without an answer is."""


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
        #: The first job that is missing, if it is answered, and where the stream ended when that was seen: its event is not behind that.
        self._answered: tuple[str, str] | None = None
        #: For each job whose event was trimmed before it was read, or is written elsewhere: why it has no answer.
        self._lost: list[str] = []
        self._patience = Patience(tell_of_redis, lambda _: self._is_over())

    def answers(self, after: str) -> Iterator[dict[str, Any]]:
        """Yield each event behind the entry ``after`` of the stream that answers one of the jobs, until all are answered.

        Raises:
            NoAnswer: the time was over first, or the events that are still missing are not on the stream any more.
        """
        coming = follow(self._client, self._settings.events_stream, after, patience=self._patience)
        while self._missing:
            try:
                entry = next(coming)
                self._give_up_on_the_lost(entry)
                # Looked at after each entry: a busy stream never pauses.
                if time.monotonic() > self._why_at:
                    self._why_at = time.monotonic() + WHY_SECONDS
                    self._say_why()
            except redis.RedisError as error:
                if not self._patience.is_away:
                    raise
                raise NoAnswer(
                    f"no answer within {self._seconds:g} s: Redis does not answer; the job is enqueued"
                ) from error
            if entry is not None and (message_id := self._answers(entry)):
                began = time.monotonic()
                yield entry.event
                # This time does not count: a long listing takes a while to draw, and a pager may stop the command while it prints.
                self._ends_at += time.monotonic() - began
                self._missing[message_id] += 1
                if self._missing[message_id] >= entry.event["data"].get("pages", 1):
                    del self._missing[message_id]
            if self._missing and self._is_over():
                raise NoAnswer(f"no answer within {self._seconds:g} s: {self._why()}")
        if self._lost:
            raise NoAnswer(f"no answer: {self._lost[0]}" + _and_more(len(self._lost) - 1))

    def _give_up_on_the_lost(self, entry: Event | None) -> None:
        """Give up the event of an answered job once the stream is read to where it ended when the job was seen to be answered."""
        if self._answered is None:
            return
        message_id, end = self._answered
        if message_id in self._missing and (entry is None or _place(entry.entry_id) > _place(end)):
            del self._missing[message_id]
            self._lost.append(in_words(Found(message_id, "answered")))
            # Look for the next job at once: if one event was trimmed, the next may have been, too.
            self._why_at = time.monotonic()
        if message_id not in self._missing:
            self._answered = None

    def _answers(self, entry: Any) -> str | None:
        return next((name for name in answered_ids(entry.event) if name in self._missing), None)

    def _is_over(self) -> bool:
        return time.monotonic() > self._ends_at

    def _why(self) -> str:
        """Return why the first job that is missing has no answer."""
        first = next(iter(self._missing))
        found = self._patience.ask(lambda: Lookup(self._client, self._settings).by_ids([first])).get(first)
        if found is not None and found.state in {"answered", "dead"} and self._answered is None:
            # A job's event is written in the same step as its answer, so it is before the present end of the stream.
            stream = self._settings.events_stream
            self._answered = first, self._patience.ask(lambda: end_of_stream(self._client, stream))
        return in_words(found) + _and_more(len(self._missing) - 1)

    def _say_why(self) -> None:
        """Say why there is no answer yet, once for each reason, whatever numbers it contains; not if the answer is about to be read."""
        if not self._missing:
            return
        why = self._why()
        if self._answered is None and (reason := re.sub(r"\d", "", why)) != self._told:
            self._told = reason
            say(f"no answer yet: {why}", err=True)


def _and_more(others: int) -> str:
    return f" (and {others:,} more)" if others else ""


def _place(entry_id: str) -> tuple[int, int]:
    """Return the id of an entry in a form that can be compared."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number)
