"""The answers of a job, as settle.lua takes them: its terminal event or pages, its outcome, its dead letter's reason."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from actors.arguments import ArgumentError
from actors.delivery.kind import Outcome
from actors.delivery.task import Task
from actors.events import envelope, failed_type, timestamp

__all__ = [
    "Failure",
    "Progress",
    "account_events",
    "dead_reason",
    "failed",
    "happened",
    "page_batches",
    "replayed",
    "used_id",
]

#: Bytes of a listing's pages that one script takes, and that are remembered at most for a replay.
BATCH_BYTES = 1024 * 1024
REMEMBERED_BYTES = 8 * 1024 * 1024
#: First characters of a rejected message that its event shows.
RAW_CHARACTERS = 1000
#: Why a message is rejected whose id was answered before.
USED_ID = "a message with this message_id was answered before; to ask again, send it with a new message_id"


@dataclass(frozen=True, slots=True)
class Progress:
    """What success and failure both tell."""

    attempts: int = 0
    replayed: bool = False
    reconciled: bool = False

    def data(self) -> dict[str, Any]:
        """As the event's data has it."""
        return {"attempts": self.attempts, "replayed": self.replayed, "reconciled": self.reconciled}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job ends without success."""

    kind: str
    message: str
    code: int | None = None
    details: tuple[ArgumentError, ...] = ()

    def data(self) -> dict[str, Any]:
        """As the event's data has it."""
        details = [{"field": detail.field, "message": detail.message} for detail in self.details]
        return {"kind": self.kind, "code": self.code, "message": self.message, "details": details}


def _event(
    task: Task, kind: str, data: dict[str, Any], *, subject: str | None, page: int | None = None
) -> tuple[str, str]:
    return envelope(
        kind,
        event_id=task.message_id if page is None else f"{task.message_id}/{page}",
        data=data,
        subject=subject,
        correlation_id=task.job.correlation_id,
        idempotency_key=task.key,
        traceparent=task.traceparent,
    )


def happened(task: Task, outcome: Outcome, progress: Progress) -> dict[str, Any]:
    """Settles a job that was carried out."""
    event = _event(task, outcome.event, outcome.data | progress.data(), subject=outcome.subject)
    answer: dict[str, Any] = {"events": [event], "claim": outcome.claims}
    if outcome.remembered:
        remembered = {"event": outcome.event, "data": outcome.data, "subject": outcome.subject}
        answer["outcome"] = orjson.dumps(remembered).decode()
    return answer


def page_batches(task: Task, outcome: Outcome, progress: Progress) -> Iterator[dict[str, Any]]:
    """Settles a listing: batches of pages, all but the last for the op ``pages``, the last for ``done``."""
    pages = outcome.pages
    if pages is None:
        raise TypeError("only a listing has pages")
    remember = task.key is not None and pages.size <= REMEMBERED_BYTES
    first, batch, size = True, 0, 0
    events: list[tuple[str, str]] = []
    kept: list[str] = []
    for data in pages:
        if events and size > BATCH_BYTES:
            yield {"events": events, "pages": kept, "first": first, "batch": batch}
            first, batch, size, events, kept = False, batch + 1, 0, [], []
        event = _event(
            task, outcome.event, data | progress.data(), subject=outcome.subject, page=data["page"]
        )
        events.append(event)
        size += len(event[1])
        if remember:
            kept.append(orjson.dumps(data).decode())
    last: dict[str, Any] = {"events": events, "pages": kept, "first": first, "batch": batch}
    if remember:
        remembered = {"event": outcome.event, "pages": pages.count, "subject": outcome.subject}
        last["outcome"] = orjson.dumps(remembered).decode()
    yield last


def replayed(task: Task, outcome: bytes, pages: list[bytes]) -> dict[str, Any]:
    """Settles a job whose key was carried out already."""
    told = orjson.loads(outcome)
    progress = Progress(replayed=True).data()
    if "pages" not in told:
        return {"events": [_event(task, told["event"], told["data"] | progress, subject=told["subject"])]}
    data = [orjson.loads(page) for page in pages]
    return {
        "events": [
            _event(task, told["event"], page | progress, subject=told["subject"], page=page["page"])
            for page in data
        ]
    }


def failed(task: Task, failure: Failure, progress: Progress) -> dict[str, Any]:
    """Settles a job that ends without success."""
    data = {"job": task.job.actor, "error": failure.data(), **progress.data()}
    answer: dict[str, Any] = {
        "events": [_event(task, failed_type(task.job.actor), data, subject=task.job.subject)]
    }
    if failure.kind != "conflict":
        # Sending a conflict again cannot help, so it leaves no dead letter.
        answer["reason"] = dead_reason(task.message_id, task.job.actor, failure)
    return answer


def used_id(task: Task, body: bytes) -> dict[str, Any]:
    """Settles a message whose id was answered before: it is set aside, and the first answer stands."""
    data = {
        "queue": task.queue,
        "redis_message_id": task.receipt.id,
        "reason": USED_ID,
        "raw": body.decode("utf-8", "replace")[:RAW_CHARACTERS],
    }
    return {
        "events": [envelope("message.rejected", event_id=f"{task.queue}/{task.receipt.id}", data=data)],
        "reason": dead_reason(task.message_id, task.job.actor, Failure("unreadable", USED_ID)),
    }


def dead_reason(message_id: str, actor: str, failure: Failure) -> str:
    """Why a dead letter died, for `dead list`."""
    reason = {
        "message_id": message_id,
        "job": actor,
        "kind": failure.kind,
        "code": failure.code,
        "message": failure.message,
        "died_at": timestamp(),
    }
    return orjson.dumps(reason).decode()


def account_events(
    scope: str, channel: str, code: int | None, message: str, retry_after: float
) -> dict[str, Any]:
    """The events that settle.lua writes if this very answer begins or ends a hold. ``retry_after`` is in seconds."""

    def event(kind: str, data: dict[str, Any]) -> tuple[str, str]:
        return envelope(f"account.{kind}", event_id=f"account.{kind}/{uuid.uuid4()}", data=data)

    def released(of: str) -> tuple[str, str]:
        return event("released", {"scope": of, "code": None, "message": "work goes on", "retry_at": None})

    retry_at = timestamp(time.time() + retry_after)
    return {
        "held_event": event("held", {"scope": scope, "code": code, "message": message, "retry_at": retry_at}),
        "released_event": {"account": released("account"), "channel": released(channel)},
    }
