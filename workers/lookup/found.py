"""What is known of one job: where it is, since when, and why."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import orjson

from actors import JOBS
from workers.stream import message_of

__all__ = [
    "Found",
    "answered",
    "fields_of",
    "in_words",
    "job_of_event",
    "kwargs_of",
    "text_of",
]


@dataclass(slots=True)
class Found:
    """One job; None where something does not apply."""

    message_id: str
    #: waiting | delayed | held | running | unknown | answered | dead | not_found
    state: str
    job: str | None = None
    queue: str | None = None
    #: Since when it is in this state; for a waiting job, when it was enqueued.
    since: str | None = None
    attempts: int | None = None
    reason: str | None = None
    until: str | None = None
    worker: str | None = None
    read_back_at: str | None = None
    event: dict[str, Any] | None = None
    #: Its message, if it is still in Redis, and how many listings could not show what came of its lost call. `job --json` prints neither.
    message: dict[str, Any] | None = None
    looks: int | None = None

    def told(self) -> dict[str, Any]:
        """Return what `job --json` prints."""
        told = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        # Nobody knows the id of a job that was looked for by its key and has no message any more, or whose message has no id.
        told["message_id"] = self.message_id or None
        return {name: value for name, value in told.items() if name not in {"message", "looks"}}


def in_words(found: Found | None) -> str:
    """Return a sentence that says where a job is that is not answered, and why."""
    if found is None:
        return "it is nowhere to be found"
    why = f": {found.reason}" if found.reason else ""
    match found.state:
        case "waiting":
            return f"it waits{why}"
        case "delayed":
            return f"it is delayed until {found.until}{why}"
        case "held":
            return f"it is held, {found.reason}"
        case "running":
            return f"it is in the hands of worker {found.worker}{why}"
        case "unknown":
            return f"its answer was lost, and the API is asked what happened at {found.read_back_at}{why}"
        case "answered" | "dead" if found.event is None:
            return (
                f"it is {found.state}, but its event is not on the stream: is EVENTS_STREAM that of the workers, and EVENTS_MAXLEN"
                " so large that an event is read before it is trimmed?"
            )
    return f"it is {found.state}"


def answered(event: dict[str, Any]) -> Found:
    """Return the job that an event answers."""
    told = str(event.get("time"))
    data = event.get("data")
    attempts = data.get("attempts") if isinstance(data, dict) else None
    return Found(
        message_of(event),
        "answered",
        job=job_of_event(event),
        since=told,
        attempts=attempts if isinstance(attempts, int) else None,
        event=event
        if _can_be_written(event)
        else {name: str(event.get(name)) for name in ("id", "type", "time")},
    )


def _can_be_written(event: dict[str, Any]) -> bool:
    """Return whether an event can be written as JSON: one of another program may be nested too deeply for that, though it was read."""
    try:
        orjson.dumps(event)
    except orjson.JSONEncodeError:
        return False
    return True


def job_of_event(event: dict[str, Any]) -> str | None:
    """Return which job an event answers; None if it answers none."""
    kind = str(event.get("type")).removeprefix("coupontools.")
    return next((name for name, job in JOBS.items() if kind in job.succeeds or kind == job.failed), None)


def fields_of(text: bytes) -> dict[str, Any] | None:
    """Return the JSON object in ``text``; None if there is none."""
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) else None


def text_of(fields: dict[str, Any], name: str) -> str | None:
    """Return a field that must be text; None if it is something else, which may be nested too deeply even to be printed."""
    value = fields.get(name)
    return value if isinstance(value, str) else None


def kwargs_of(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a message; none if they are not an object."""
    kwargs = fields.get("kwargs")
    return kwargs if isinstance(kwargs, dict) else {}
