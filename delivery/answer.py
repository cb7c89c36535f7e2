"""The answers of a job as they are settled: its event or pages, what is remembered, and why it became a dead letter.

Events are CloudEvents 1.0 in structured mode: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from config.moments import rfc3339
from coupontools import Rejected
from delivery.job import Job, Outcome, Pages
from delivery.settlement import Done, EndedUnknown, Event, Failed, MorePages, Replayed, SetAside
from delivery.task import MOST_DEATHS, Task, short_digest

__all__ = [
    "CANCELLED",
    "CONFLICT",
    "EXPIRED",
    "PAGES_GONE",
    "PREFIX",
    "SMALL_FORM",
    "SOURCE",
    "STAGED",
    "UNKNOWN",
    "USED_ID",
    "WORN",
    "WORN_UNKNOWN",
    "Failure",
    "Progress",
    "conflict",
    "dead_reason",
    "done",
    "done_in_pages",
    "envelope",
    "failed",
    "refusal",
    "rejection",
    "replayed",
    "used_id",
    "without_record",
]

SOURCE = "/coupontools-worker"
PREFIX = "coupontools."
#: Bytes of a listing's pages that one script takes; and the most that is remembered for a replay.
BATCH_BYTES = 1024 * 1024
REMEMBERED_BYTES = 8 * 1024 * 1024
#: The longest answer that is kept for other jobs with the same question.
TOLD_BYTES = 64 * 1024
#: From this number of the stored form on, a success leaves as little behind as it can: the part of its outcome that the same job does not
#: bring itself, a shorter fingerprint, and a mark in a shared hash instead of a key of its own.
SMALL_FORM = 3
#: How many characters of a rejected message its event shows.
RAW_CHARACTERS = 1000
#: Kinds of failures that leave no dead letter: sending a conflict or a cancelled job again cannot help.
WITHOUT_LETTER = frozenset({"conflict", "cancelled"})
#: The longest Redis id that the event of a rejected message repeats whole.
LONGEST_ID = 100
#: Why a message is rejected whose id was answered before.
USED_ID = "a message with this message_id was answered before; to ask again, send it with a new message_id"


def envelope(kind: str, *, event_id: str, data: dict[str, Any], **attributes: str | None) -> Event:
    """Return the event of type ``kind`` (after the prefix).

    ``attributes`` have the names that CloudEvents gives them. Those without a value are left out, as CloudEvents asks.
    """
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": PREFIX + kind,
        "time": rfc3339(),
        "datacontenttype": "application/json",
        "dataschema": f"urn:coupontools-worker:{kind}:v1",
    }
    event |= {name: value for name, value in attributes.items() if value}
    event["data"] = data
    return event["type"], orjson.dumps(event).decode()


@dataclass(frozen=True, slots=True)
class Progress:
    """What the events of success and failure both carry."""

    attempts: int = 0
    replayed: bool = False
    reconciled: bool = False

    def data(self) -> dict[str, Any]:
        """Return it as the event's data has it."""
        return {"attempts": self.attempts, "replayed": self.replayed, "reconciled": self.reconciled}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job ends without success."""

    kind: str
    message: str
    code: int | None = None
    #: Each ``{"field": ..., "message": ...}``.
    details: tuple[dict[str, str], ...] = ()

    def data(self) -> dict[str, Any]:
        """Return it as the event's data has it."""
        return {
            "kind": self.kind,
            "code": self.code,
            "message": self.message,
            "details": list(self.details),
        }


EXPIRED = Failure("expired", "the deadline passed first; the API certainly did not carry it out")
UNKNOWN = Failure("unknown", "the deadline passed, and the API may or may not have carried it out")
#: How many characters are kept of the reason why a job was put off.
REASON_CHARACTERS = 500
#: All pages of a long listing are staged.
STAGED = Done(events=[], staged=True)
PAGES_GONE = Failure("internal", "the remembered pages are gone; ask anew with another idempotency_key")
CANCELLED = Failure("cancelled", "it was cancelled, and the API certainly did not carry it out")
_DIED = f"{MOST_DEATHS} worker processes in a row died while they had this job"
WORN = Failure("internal", f"{_DIED}; the API did not carry it out")
WORN_UNKNOWN = Failure("unknown", f"{_DIED}; the API may or may not have carried it out")
CONFLICT = Failure("conflict", "this idempotency key was used before for a different job")


def conflict(job: Job) -> Failure:
    """Return the failure of a job whose key belongs to another job."""
    return Failure("conflict", job.conflict) if job.key_is_derived and job.conflict else CONFLICT


def late(failure: Failure, why: str) -> Failure:
    """Return the failure of a job whose deadline passed, with the reason why it was put off last."""
    return replace(failure, message=f"{failure.message}; last reason: {why}") if why else failure


def refusal(error: Rejected) -> Failure:
    """Return the failure of a job that the API refused for good."""
    kind = "internal" if error.code is None and error.status is None else "rejected"
    text = f"{error.message}: {'; '.join(error.details)}" if error.details else error.message
    return Failure(kind, text, code=error.code)


def done(task: Task, outcome: Outcome, progress: Progress, *, form: int = SMALL_FORM) -> Done:
    """Return the settlement of a job that was carried out; ``form`` is the number of the stored form."""
    remembered: Any = {"event": outcome.event, "data": outcome.data, "subject": outcome.subject}
    if outcome.kept is not None and form >= SMALL_FORM:
        remembered = outcome.kept
    return Done(
        events=[_event(task, outcome.event, outcome.data | progress.data(), subject=outcome.subject)],
        outcome=_json(remembered) if outcome.remembered else None,
        claim=outcome.claims,
        told=_told(outcome),
        lasts=outcome.told is not None and outcome.told.lasts,
    )


def _told(outcome: Outcome) -> str | None:
    if outcome.told is None:
        return None
    text = _json(outcome.told.evidence)
    return text if len(text) <= TOLD_BYTES else None


def done_in_pages(
    task: Task, outcome: Outcome, pages: Pages, progress: Progress
) -> Iterator[MorePages | Done]:
    """Return the settlements of a listing: one with all pages; or, for a long one, batches to stage, and a last one that writes them."""
    remember = task.key is not None and pages.size <= REMEMBERED_BYTES
    batch, size = 0, 0
    events: list[Event] = []
    kept: list[str] = []
    for data in pages:
        if size > BATCH_BYTES:
            yield MorePages(events=events, pages=kept, batch=batch)
            batch, size, events, kept = batch + 1, 0, [], []
        event = _event(
            task, outcome.event, data | progress.data(), subject=outcome.subject, page=data["page"]
        )
        events.append(event)
        size += len(event[1])
        if remember:
            kept.append(_json(data))
    remembered = {"event": outcome.event, "pages": pages.count, "subject": outcome.subject}
    outcome_of_all = _json(remembered) if remember else None
    if batch == 0:
        yield Done(events=events, outcome=outcome_of_all, pages=kept)
    else:
        yield MorePages(events=events, pages=kept, batch=batch)
        yield replace(STAGED, outcome=outcome_of_all)


def replayed(task: Task, told: Any, pages: list[bytes]) -> Replayed | None:
    """Return the settlement of a job whose key was carried out before, from the outcome ``told``; None when its pages are gone."""
    progress = Progress(replayed=True).data()
    if isinstance(told, list):
        outcome = task.job.recalled(*told)
        return Replayed(
            events=[_event(task, outcome.event, outcome.data | progress, subject=outcome.subject)]
        )
    if len(pages) != told.get("pages", 0):
        return None
    kind, subject = told["event"], told["subject"]
    if "pages" not in told:
        return Replayed(events=[_event(task, kind, told["data"] | progress, subject=subject)])
    rows = [orjson.loads(page) for page in pages]
    return Replayed(
        events=[_event(task, kind, row | progress, subject=subject, page=row["page"]) for row in rows]
    )


def without_record(task: Task, outcome: Outcome) -> Replayed:
    """Return the settlement of a job for which the API need not be asked."""
    return Replayed(events=done(task, outcome, Progress()).events, before=False)


def failed(task: Task, failure: Failure, progress: Progress, *, owned: bool = True) -> Failed:
    """Return the settlement of a job that ends without success."""
    data = {"job": task.job.actor, "error": failure.data(), **progress.data()}
    event = _event(task, task.job.failed, data, subject=task.job.subject)
    reason = None
    if failure.kind not in WITHOUT_LETTER:
        reason = dead_reason(task.message_id, task.job.actor, failure, batch_id=task.job.batch_id)
    kind = EndedUnknown if failure.kind == "unknown" else Failed
    return kind(events=[event], reason=reason, owned=owned, kind=failure.kind)


def used_id(task: Task, body: bytes) -> SetAside:
    """Return the settlement of a message whose id was answered before: the first answer stands."""
    return SetAside(
        events=[rejection(task.queue, task.receipt.id, USED_ID, body)],
        reason=dead_reason(task.message_id, task.job.actor, Failure("unreadable", USED_ID)),
    )


def rejection(queue: str, redis_id: str, reason: str, body: bytes | None) -> Event:
    """Return the event of an entry that is set aside. Of a long Redis id it shows the beginning and a digest."""
    name = redis_id if len(redis_id) <= LONGEST_ID else f"{redis_id[:60]}{short_digest(redis_id)}"
    data = {
        "queue": queue,
        "redis_message_id": name,
        "reason": reason,
        "raw": (body or b"").decode("utf-8", "replace")[:RAW_CHARACTERS],
    }
    return envelope("message.rejected", event_id=f"{queue}/{name}", data=data)


def dead_reason(message_id: str, actor: str, failure: Failure, batch_id: str | None = None) -> str:
    """Return why a dead letter died, for `dead list`."""
    reason: dict[str, Any] = {
        "message_id": message_id,
        "job": actor,
        "kind": failure.kind,
        "code": failure.code,
        "message": failure.message,
        "died_at": rfc3339(),
    }
    if batch_id:
        reason["batch_id"] = batch_id
    return _json(reason)


def _event(
    task: Task, kind: str, data: dict[str, Any], *, subject: str | None, page: int | None = None
) -> Event:
    return envelope(
        kind,
        event_id=task.message_id if page is None else f"{task.message_id}/{page}",
        data=data,
        subject=subject,
        correlationid=task.job.correlation_id,
        batchid=task.job.batch_id,
        originalid=task.original_id,
        idempotencykey=task.key,
        traceparent=task.traceparent,
    )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
