"""Finds a job: in the queues, in workers' hands, where holds park, among the dead letters, and on the event stream.

No index is kept for this: look-ups are rare, and each job would pay for it. An answered job is found at once by its mark; so is a message
whose message id is also its id in Redis, as in all messages that we enqueue. Other waiting messages are read one after the other: a
million take some seconds. (Searching them in Redis, by Lua, costs Redis twice as much as sending them.)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import Any

import orjson
import redis

from actors import JOBS
from config import Settings
from config.keys import Keys
from config.names import QUEUES
from delivery import retried_as
from delivery.task import short_digest
from workers.answers import SECOND_MS, kept_ms, markers
from workers.lookup.found import Found, answered, fields_of, kwargs_of, text_of
from workers.lookup.place import Places, key_in_force
from workers.lookup.scan import Scan
from workers.stream import message_of
from workers.worker_list import account_keys, read_workers

__all__ = ["Lookup"]

#: How far from the time given by its mark an event is looked for first, in milliseconds.
NEAR_MS = 2000

Matches = Callable[[dict[str, Any]], bool]


class Lookup:
    """Looks for jobs. Every method raises redis.RedisError when Redis cannot be asked."""

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        say: Callable[[str], None] = lambda _: None,
        *,
        most_seconds: float = float("inf"),
    ) -> None:
        """``most_seconds`` is how long all its searches together may take before they raise LooksTooLong.

        Before so much is read one after the other that it takes a while, ``say`` is called with a text about it.
        """
        workers = read_workers(client, settings)
        self._client = client
        self._keys: Keys = account_keys(settings, workers)
        self._say = say
        self._kept_ms = round(settings.idempotency_ttl_seconds * 1000)
        self._scan = Scan(client, self._keys, most_seconds)
        self._places = Places(client, self._keys, workers)

    # -- By message id -------------------------------------------------------------------------------------------------------

    def by_ids(self, message_ids: Collection[str]) -> dict[str, Found]:
        """Return the jobs of these message ids; an id that is not found is absent."""
        found: dict[str, Found] = {}
        for message_id in message_ids:
            if one := self._marked(message_id) or self._same_id(message_id):
                found[message_id] = one
        missing = {message_id for message_id in message_ids if message_id not in found}

        def matches(fields: dict[str, Any]) -> bool:
            return fields.get("message_id") in missing

        def event_matches(event: dict[str, Any]) -> bool:
            return message_of(event) in missing

        for one in self._everywhere(matches, event_matches, missing) if missing else ():
            found.setdefault(one.message_id, one)
            missing.discard(one.message_id)
            if not missing:
                break
        return found

    def _marked(self, message_id: str) -> Found | None:
        """Return a job that was answered, found by its mark (delivery/lua/answered.lua)."""
        [mark] = markers(self._client, self._keys, [message_id])
        if not mark or mark[:1] not in b"+-":
            return None
        found = Found(message_id, "answered")
        if event := self._event_of(message_id):
            found = answered(event)
        _, _, entry_id = mark.partition(b" ")
        for name in QUEUES if entry_id else ():
            body: Any = self._client.hget(self._keys.queue(name).dead_bodies, entry_id)
            if body is not None:
                return self._letter(name, entry_id, message_id, found.event, fields_of(body) or {})
        again = retried_as(message_id, entry_id) if entry_id else ""
        # More than once where its id was used again.
        while again and (kept_ms(self._client, self._keys, again) > 0 or self._same_id(again)):
            found.reason = f"it was sent again as {again}"
            again = retried_as(again, entry_id)
        if found.event is None and not found.reason:
            found.reason = "its event is not on the stream any more"
        return found

    def _same_id(self, message_id: str) -> Found | None:
        """Return a job whose message id is also its id in Redis."""
        for name in QUEUES:
            queue = self._keys.queue(name)
            for key in (queue.bodies, queue.stock_delayed_bodies):
                fields = self._scan.message(key, message_id)
                if fields is not None and fields.get("message_id") == message_id:
                    return self._places.find(
                        name, message_id.encode(), fields, delayed_by_stock=key != queue.bodies
                    )
        return None

    # -- By other ids that a job carries -------------------------------------------------------------------------------------

    def by_correlation_id(self, correlation_id: str) -> Iterator[Found]:
        """Yield every job with this correlation id, those that are not answered first."""

        def matches(fields: dict[str, Any]) -> bool:
            return kwargs_of(fields).get("correlation_id") == correlation_id

        def event_matches(event: dict[str, Any]) -> bool:
            return event.get("correlationid") == correlation_id

        return _once(self._everywhere(matches, event_matches, {correlation_id}))

    def by_key(self, key: str, actor: str | None = None) -> Iterator[Found]:
        """Yield the jobs of this idempotency key, given or derived, those that are not answered first."""
        actors = [actor] if actor else list(JOBS)

        def matches(fields: dict[str, Any]) -> bool:
            return fields.get("actor_name") in actors and key_in_force(fields) == key

        def event_matches(event: dict[str, Any]) -> bool:
            return event.get("idempotencykey") == key and answered(event).job in {*actors, None}

        on_record = [found for name in actors if (found := self._on_record(key, name))]
        claimed = [found for found in on_record if found.message_id]
        # No message contains its derived key.
        derived = key.startswith("derived:")
        if derived:
            searches = [self._dead(matches, set()), self._answered(event_matches, {key})]
        else:
            searches = [self._everywhere(matches, event_matches, {key})]
        nothing = True
        for found in _once(chain(claimed, *searches)):
            nothing = False
            yield found
        if nothing and on_record:
            yield from on_record
        elif nothing and derived:
            # No worker has seen such a job yet: derive the key of every waiting message.
            yield from self._unanswered(matches, set())

    def _on_record(self, key: str, actor: str) -> Found | None:
        """Return the job that the ledger has on record: the message that claimed last, or an outcome, which has no message id."""
        record: Any = self._client.hmget(self._keys.record(actor, short_digest(key)), "s", "b", "id", "o")
        state, bodies, entry_id, outcome = record
        if state == b"done":
            reason = "its event is not on the stream any more; this is what is remembered of it"
            return Found("", "answered", job=actor, reason=reason, event=_remembered(actor, outcome or b"{}"))
        for name in QUEUES if bodies and entry_id else ():
            if self._keys.queue(name).bodies.encode() == bodies:
                fields = self._scan.message(bodies.decode(), entry_id)
                if fields is not None:
                    return self._places.find(name, entry_id, fields, delayed_by_stock=False)
        return None

    # -- One after the other. A match contains one of ``texts``; without texts, all messages and events are read --------------

    def _everywhere(self, matches: Matches, event_matches: Matches, texts: set[str]) -> Iterator[Found]:
        yield from self._unanswered(matches, texts)
        yield from self._dead(matches, texts)
        yield from self._answered(event_matches, texts)

    def _unanswered(self, matches: Matches, texts: set[str]) -> Iterator[Found]:
        if much := self._scan.is_much():
            self._say(much)
        for name in QUEUES:
            queue = self._keys.queue(name)
            for key in (queue.bodies, queue.stock_delayed_bodies):
                for entry_id, fields in self._scan.messages(key, texts):
                    if matches(fields):
                        yield self._places.find(name, entry_id, fields, delayed_by_stock=key != queue.bodies)

    def _dead(self, matches: Matches, texts: set[str]) -> Iterator[Found]:
        for name in QUEUES:
            for entry_id, fields in self._scan.messages(self._keys.queue(name).dead_bodies, texts):
                if matches(fields):
                    message_id = text_of(fields, "message_id") or ""
                    yield self._letter(name, entry_id, message_id, self._event_of(message_id), fields)

    def _answered(self, matches: Matches, texts: set[str]) -> Iterator[Found]:
        for event in self._scan.events(texts):
            if matches(event):
                yield answered(event)

    def _letter(
        self,
        queue: str,
        entry_id: bytes,
        message_id: str,
        event: dict[str, Any] | None,
        fields: dict[str, Any],
    ) -> Found:
        text: Any = self._client.hget(self._keys.queue(queue).dead_reasons, entry_id)
        reason = fields_of(text or b"{}") or {}
        found = answered(event) if event else Found(message_id, "dead", job=text_of(fields, "actor_name"))
        found.state, found.queue, found.message = "dead", queue, fields
        found.since, found.reason = text_of(reason, "died_at"), text_of(reason, "message")
        return found

    def _event_of(self, message_id: str) -> dict[str, Any] | None:
        """Return the last event that answers a message."""
        left = kept_ms(self._client, self._keys, message_id)
        if 0 < left <= self._kept_ms + SECOND_MS:
            # The mark was set together with the event, so the time that it is still kept shows when.
            seconds, micros = self._client.time()
            at = seconds * 1000 + micros // 1000 - (self._kept_ms - left)
            near: Any = self._client.xrange(self._keys.events, str(at - NEAR_MS), str(at + NEAR_MS))
            for _, fields in reversed(near):
                event = fields_of(fields.get(b"event", b""))
                if event is not None and message_of(event) == message_id:
                    return event
        events = self._scan.events({message_id})
        return next((event for event in events if message_of(event) == message_id), None)


def _once(many: Iterable[Found]) -> Iterator[Found]:
    """Yield each job once: a search meets a job twice if it moves meanwhile."""
    told: set[str] = set()
    for found in many:
        if found.message_id not in told:
            told.add(found.message_id)
            yield found


def _remembered(actor: str, outcome: bytes) -> dict[str, Any]:
    """Return what an outcome shows of its event. Most outcomes keep only what is not among the job's arguments, the id first."""
    try:
        told = orjson.loads(outcome)
    except orjson.JSONDecodeError:
        told = None
    if isinstance(told, list):
        kind = next(iter(JOBS[actor].succeeds))
        subject = next(
            (each for each in told if isinstance(each, str) and each.startswith(("con_", "gro_"))), None
        )
        return {"type": f"coupontools.{kind}", "subject": subject, "data": None}
    told = told if isinstance(told, dict) else {}
    return {
        "type": f"coupontools.{told.get('event')}",
        "subject": told.get("subject"),
        "data": told.get("data"),
    }
