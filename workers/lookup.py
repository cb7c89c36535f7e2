"""Where a job is: looked for in the queues, in workers' hands, where holds park, among the dead, and on the event stream.

No index is kept for this: it is asked for seldom, and each job would pay for it. A million waiting messages take some seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from actors import JOBS
from config.keys import QUEUES, Keys
from delivery.task import short_digest
from workers.redis_state import rfc3339
from workers.state import WorkerState

__all__ = ["Found", "Lookup", "by_argument", "by_id", "by_key", "time_of"]

#: Messages and events that one round trip reads.
AT_ONCE = 2000

#: Is this the message that is looked for? Told its fields.
Matches = Callable[[dict[str, Any]], bool]


@dataclass(slots=True)
class Found:
    """One job, as ``job`` shows it; None where something does not apply."""

    message_id: str
    state: str
    job: str | None = None
    queue: str | None = None
    since: str | None = None
    attempts: int | None = None
    reason: str | None = None
    until: str | None = None
    worker: str | None = None
    read_back_at: str | None = None
    event: dict[str, Any] | None = None


def by_id(message_id: str) -> Matches:
    """Return what recognises a message by its message_id."""
    return lambda fields: fields.get("message_id") == message_id


def by_argument(name: str, value: str) -> Matches:
    """Return what recognises a message by one of its arguments."""
    return lambda fields: _kwargs(fields).get(name) == value


def by_key(key: str, actor: str | None) -> Matches:
    """Return what recognises a message by the idempotency key in force, given or derived."""

    def matches(fields: dict[str, Any]) -> bool:
        if actor is not None and fields.get("actor_name") != actor:
            return False
        return _kwargs(fields).get("idempotency_key") == key or _key_in_force(fields) == key

    return matches


def _kwargs(fields: dict[str, Any]) -> dict[str, Any]:
    kwargs = fields.get("kwargs")
    return kwargs if isinstance(kwargs, dict) else {}


def _key_in_force(fields: dict[str, Any]) -> str | None:
    kind = JOBS.get(str(fields.get("actor_name")))
    if kind is None:
        return None
    try:
        return kind.parse(_kwargs(fields)).key
    except Exception:
        return kind.key_of_raw(_kwargs(fields))


class Lookup:
    """Looks for jobs. ``hint`` is a text that stands in every message and event that may match: most need not be read for it."""

    def __init__(self, client: redis.Redis, keys: Keys, workers: list[WorkerState]) -> None:
        self._client = client
        self._keys = keys
        self._workers = workers

    def find(self, matches: Matches, event_matches: Matches, hint: str) -> Iterator[Found]:
        """Yield every job that matches, those that are not answered first."""
        told: set[str] = set()
        for found in (
            *self._unanswered(matches, hint),
            *self._dead(matches, hint),
            *self._answered(event_matches, hint),
        ):
            if found.message_id not in told:
                told.add(found.message_id)
                yield found

    def _unanswered(self, matches: Matches, hint: str) -> Iterator[Found]:
        for name in QUEUES:
            queue = self._keys.queue(name)
            for key in (queue.bodies, queue.stock_delayed_bodies):
                for entry_id, fields in self._messages(key, hint):
                    if matches(fields):
                        yield self._placed(name, entry_id, fields, delayed_by_stock=key != queue.bodies)

    def _messages(self, key: str, hint: str) -> Iterator[tuple[bytes, dict[str, Any]]]:
        wanted = hint.encode()
        for entry_id, body in self._client.hscan_iter(key, count=AT_ONCE):
            if wanted in body or b"\\u" in body:
                fields = _object(body)
                if fields is not None:
                    yield entry_id, fields

    def _placed(self, name: str, entry_id: bytes, fields: dict[str, Any], *, delayed_by_stock: bool) -> Found:
        found = Found(
            str(fields.get("message_id")),
            "waiting",
            job=fields.get("actor_name"),
            queue=name,
            since=_since(fields),
        )
        self._read_record(found, fields)
        if delayed_by_stock:
            found.state, found.until = "delayed", time_of(_eta(fields))
            return found
        queue = self._keys.queue(name)
        for worker in self._workers:
            if self._client.sismember(self._keys.acks(worker.id, name), entry_id.decode("utf-8", "replace")):
                found.state = "unknown" if found.state == "unknown" else "running"
                found.worker = worker.id
                return found
        if found.state == "unknown":
            return found
        if hold := self._hold_of(name, entry_id):
            found.state, found.reason = "held", hold
            return found
        due = self._client.zscore(queue.delayed, entry_id)
        seconds, _ = self._client.time()
        if due is not None and float(due) > seconds * 1000:
            found.state, found.until = "delayed", time_of(float(due))
        return found

    def _hold_of(self, queue: str, entry_id: bytes) -> str | None:
        members: Any = self._client.smembers(self._keys.parked)
        for member in members:
            place = member.decode("utf-8", "replace")
            hold, of_queue, _ = place.rsplit("|", 2)
            if (
                of_queue == queue
                and self._client.zscore(f"{self._keys.parked}:{place}", entry_id) is not None
            ):
                text: Any = self._client.hget(self._keys.holds, hold)
                told = _object(text or b"{}") or {}
                return f"{hold}: {told.get('message', 'it comes back')}"
        return None

    def _read_record(self, found: Found, fields: dict[str, Any]) -> None:
        """Fill in what the ledger knows of it."""
        key = _key_in_force(fields)
        name = key or f"message\n{found.message_id}"
        record = self._keys.record(str(found.job), short_digest(name))
        known: Any = self._client.hmget(record, "s", "n", "rb", "w")
        state, attempts, look_at, why = known
        if attempts:
            found.attempts = int(attempts)
        if why:
            found.reason = why.decode("utf-8", "replace")
        if state == b"unknown":
            found.state, found.read_back_at = "unknown", time_of(float(look_at or 0))

    def _dead(self, matches: Matches, hint: str) -> Iterator[Found]:
        for name in QUEUES:
            queue = self._keys.queue(name)
            for entry_id, fields in self._messages(queue.dead_bodies, hint):
                if matches(fields):
                    text: Any = self._client.hget(queue.dead_reasons, entry_id)
                    reason = _object(text or b"{}") or {}
                    found = Found(
                        str(fields.get("message_id")), "dead", job=fields.get("actor_name"), queue=name
                    )
                    found.since, found.reason = reason.get("died_at"), reason.get("message")
                    found.event = self._event_of(found.message_id)
                    yield found

    def _event_of(self, message_id: str) -> dict[str, Any] | None:
        return next((event for event in self._events(message_id) if _message_of(event) == message_id), None)

    def _answered(self, matches: Matches, hint: str) -> Iterator[Found]:
        for event in self._events(hint):
            if matches(event):
                yield Found(
                    _message_of(event),
                    "answered",
                    job=_job_of(event),
                    since=str(event.get("time")),
                    event=event,
                )

    def _events(self, hint: str) -> Iterator[dict[str, Any]]:
        """Yield the events in which ``hint`` stands, the newest first."""
        wanted, before = hint.encode(), "+"
        while True:
            entries: Any = self._client.xrevrange(self._keys.events, max=before, min="-", count=AT_ONCE)
            if not entries:
                return
            for _, fields in entries:
                raw = fields.get(b"event", b"")
                event = _object(raw) if wanted in raw or b"\\u" in raw else None
                if event is not None:
                    yield event
            before = f"({entries[-1][0].decode()}"


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) else None


def _message_of(event: dict[str, Any]) -> str:
    event_id = str(event.get("id"))
    data = event.get("data")
    pages = isinstance(data, dict) and "page" in data
    return event_id.rpartition("/")[0] if pages else event_id


def _job_of(event: dict[str, Any]) -> str | None:
    kind = str(event.get("type")).removeprefix("coupontools.")
    return next((name for name, job in JOBS.items() if kind in job.succeeds or kind == job.failed), None)


def _eta(fields: dict[str, Any]) -> float:
    options = fields.get("options")
    eta = options.get("eta") if isinstance(options, dict) else None
    return float(eta) if isinstance(eta, int | float) else 0.0


def _since(fields: dict[str, Any]) -> str | None:
    at = fields.get("message_timestamp")
    return time_of(float(at)) if isinstance(at, int | float) and not isinstance(at, bool) else None


def time_of(milliseconds: float) -> str | None:
    """Return a moment as RFC 3339 in UTC; None where it is none."""
    try:
        return rfc3339(milliseconds)
    except (ValueError, OverflowError, OSError):
        return None
