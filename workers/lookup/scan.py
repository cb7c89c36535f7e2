"""Reads all unanswered messages, dead letters and events in Redis, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import redis

from config.keys import Keys
from config.names import QUEUES
from workers.lookup.found import fields_of

__all__ = ["LooksTooLong", "Scan"]

#: Messages and events that one round trip reads.
AT_ONCE = 2000
#: Up to so many texts are looked for in a message before it is parsed.
FEW = 4
#: Reading so many messages and events takes seconds.
MUCH = 100_000
#: A longer message is no job.
LONGEST_BODY = 2**20


class LooksTooLong(Exception):  # noqa: N818 - says what happened to the search
    """The search has taken as long as it may, without finding out whether there is such a job."""


class Scan:
    """Reads for ``most_seconds`` in all; after that, `messages` and `events` raise LooksTooLong."""

    def __init__(self, client: redis.Redis, keys: Keys, most_seconds: float) -> None:
        self._client = client
        self._keys = keys
        self._until = time.monotonic() + most_seconds

    def message(self, key: str, entry_id: str | bytes) -> dict[str, Any] | None:
        """Return the message of this id in Redis; None if there is none, or it is no job."""
        client: Any = self._client
        if not 0 < client.hstrlen(key, entry_id) <= LONGEST_BODY:
            return None
        body = client.hget(key, entry_id)
        return fields_of(body or b"")

    def messages(self, key: str, texts: Collection[str]) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Yield the messages that may contain one of the texts, each with its id in Redis; all messages if there are no texts."""
        may_match = _looks_for(texts)
        for entry_id, body in self._client.hscan_iter(key, count=AT_ONCE):
            self._go_on()
            if len(body) <= LONGEST_BODY and may_match(body):
                fields = fields_of(body)
                if fields is not None:
                    yield entry_id, fields

    def _go_on(self) -> None:
        if time.monotonic() > self._until:
            raise LooksTooLong

    def events(self, texts: Collection[str]) -> Iterator[dict[str, Any]]:
        """Yield the events that may contain one of the texts, the newest first."""
        may_match, before = _looks_for(texts), "+"
        while True:
            entries: Any = self._client.xrevrange(self._keys.events, max=before, min="-", count=AT_ONCE)
            if not entries:
                return
            self._go_on()
            for _, fields in entries:
                raw = fields.get(b"event", b"")
                event = fields_of(raw) if may_match(raw) else None
                if event is not None:
                    yield event
            before = f"({entries[-1][0].decode()}"

    def is_much(self) -> str:
        """Return a text to show before all is read, if that takes a while; else an empty one."""
        queues = [self._keys.queue(name) for name in QUEUES]
        kinds = [(each.bodies, each.stock_delayed_bodies, each.dead_bodies) for each in queues]
        messages = sum(int(self._client.hlen(key)) for keys in kinds for key in keys)
        events: Any = self._client.xlen(self._keys.events)
        if messages + events < MUCH:
            return ""
        return f"no index has it: reading {messages:,} messages and {events:,} events, one after the other"


def _looks_for(texts: Collection[str]) -> Callable[[bytes], bool]:
    """Return a function that says, without parsing it, whether JSON may contain one of the texts. JSON with escapes may contain any."""
    if not 0 < len(texts) <= FEW:
        return lambda _: True
    wanted = [text.encode("utf-8", "surrogateescape") for text in texts]
    if any(mark in text for mark in (b'"', b"\\", b"/") for text in wanted):
        # All programs escape a quote and a backslash with a backslash, and some a slash, too.
        wanted.append(b"\\")
    return lambda json: any(text in json for text in wanted) or b"\\u" in json
