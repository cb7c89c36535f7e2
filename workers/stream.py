"""The event stream, read from any place and followed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from delivery import PREFIX
from workers.redis_link import Patience

__all__ = ["Event", "answered_ids", "end_of_stream", "follow", "history", "message_of"]

READ_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the stream."""

    entry_id: str
    type: str
    raw: bytes
    #: The CloudEvent.
    event: dict[str, Any]


def _events(entries: Any) -> Iterator[Event]:
    """Yield the events among the entries; leave out what other programs have put on the stream."""
    for entry_id, fields in entries:
        try:
            event = orjson.loads(fields[b"event"])
            found = Event(entry_id.decode(), fields[b"type"].decode(), fields[b"event"], event)
        except (KeyError, ValueError):
            continue
        if _is_event(event):
            yield found


def _is_event(event: Any) -> bool:
    """Return whether it has the fields that our readers use: other programs may write anything to the stream."""
    match event:
        case {"id": str(), "type": str(), "time": str(), "data": dict()}:
            return True
    return False


def end_of_stream(client: redis.Redis, stream: str) -> str:
    """Return the id of the last entry: later entries are new."""
    last: Any = client.xrevrange(stream, count=1)
    return last[0][0].decode() if last else "0-0"


def history(client: redis.Redis, stream: str, began: str = "-") -> Iterator[Event]:
    """Yield every event that is on the stream, oldest first, from the entry id ``began`` on."""
    after = began
    while True:
        entries: Any = client.xrange(stream, min=after, max="+", count=READ_AT_ONCE)
        if not entries:
            return
        yield from _events(entries)
        after = f"({entries[-1][0].decode()}"


def follow(
    client: redis.Redis, stream: str, after: str, *, block_ms: int = 1000, patience: Patience | None = None
) -> Iterator[Event | None]:
    """Yield the events after the entry ``after``, without end; None whenever nothing came for ``block_ms``.

    If Redis goes away, ``patience`` waits for it.
    """
    while True:

        def read(last: str = after) -> Any:
            return client.xread({stream: last}, count=READ_AT_ONCE, block=block_ms)

        answer = patience.ask(read) if patience else read()
        if not answer:
            yield None
            continue
        entries = answer[0][1] if isinstance(answer, list) else next(iter(answer.values()))[0]
        yield from _events(entries)
        after = entries[-1][0].decode()


def message_of(event: dict[str, Any]) -> str:
    """Return the id of the message that an event answers: a listing has an event for each page."""
    event_id = str(event.get("id"))
    data = event.get("data")
    pages = isinstance(data, dict) and "page" in data
    return event_id.rpartition("/")[0] if pages else event_id


def answered_ids(event: dict[str, Any]) -> set[str]:
    """Return the ids by which somebody may ask for the message that an event answers: also the Redis id of an entry that was set aside.

    A message that we enqueue has one id for both.
    """
    message_id = message_of(event)
    rejected = event.get("type") == f"{PREFIX}message.rejected"
    return {message_id, message_id.partition("/")[2]} if rejected else {message_id}
