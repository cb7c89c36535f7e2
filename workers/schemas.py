"""The contract as JSON Schemas (2020-12), made from the very models that check jobs and describe events.

There is a schema for the arguments of each job, for the data of each event, and for each envelope around them.
"""

from __future__ import annotations

import inspect
from typing import Any, Final

from pydantic import BaseModel

from actors import EVENTS, JOBS, Job
from actors.arguments import UNPRINTABLE
from actors.event_data import COMMON_EVENTS, JobFailed, Page
from actors.job import BATCH_TOGETHER
from config.moments import EARLIEST_MS
from delivery import PREFIX, SOURCE
from workers.broker.entries import LATEST

__all__ = [
    "event_envelope",
    "event_example",
    "event_schema",
    "job_envelope",
    "job_example",
    "job_schema",
    "open_to_more",
    "rules_together",
    "schema_files",
    "sentence",
]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ID: Final = "3b0c1a52-0a52-4a26-8f39-5d1c1b0f6d3e"
_MESSAGE_ID: Final = "c1f7c6a0-8f0d-4c63-b6d3-9f1d4f0c7a55"
_OF_A_JOB: Final = "The message_id of the job that the event answers."
#: For each event whose id is not its job's message_id: what the id is, and an example.
_IDS: Final = {
    "message.rejected": (
        "<queue>/<redis_message_id>: a rejected entry may have no message_id.",
        f"contacts/{_ID}",
    ),
    "batch.finished": (
        "batch.finished/<batch_id>: each batch has one such event.",
        "batch.finished/spring-2026",
    ),
    "account.held": ("Unique: this event answers no job.", _ID),
    "account.released": ("Unique: this event answers no job.", _ID),
}


def schema_files() -> dict[str, dict[str, Any]]:
    """Return every schema by the path of its file."""
    return {
        **{f"jobs/{actor}.v1.json": job_schema(job) for actor, job in JOBS.items()},
        **{f"events/{kind}.v1.json": event_schema(kind) for kind in EVENTS},
        "envelopes/job.v1.json": _named("job", "A job as Redis stores it", _any_job()),
        "envelopes/event.v1.json": _named("event", "An event as the stream has it", _any_event()),
    }


def job_schema(job: type[Job]) -> dict[str, Any]:
    """Return the schema of a job's arguments, with the rules between them."""
    schema = job.model_json_schema() | {"allOf": rules_together(job)}
    return _named(job.actor, f"Arguments of {job.actor}", schema)


def rules_together(job: type[Job]) -> list[dict[str, Any]]:
    """Return the rules between a job's arguments."""
    return [BATCH_TOGETHER, *job.together]


def event_schema(kind: str) -> dict[str, Any]:
    """Return the schema of an event's data; the event's `dataschema` is the schema's `$id`."""
    data = EVENTS[kind]
    schema = open_to_more(data.model_json_schema(mode="serialization"))
    if data is JobFailed:
        (actor,) = (actor for actor, job in JOBS.items() if job.failed == kind)
        schema["properties"]["job"] |= {"const": actor}
        schema["examples"] = [_data_example(kind)]
    return _named(kind, f"Data of {PREFIX}{kind}", schema)


def job_envelope(job: type[Job]) -> dict[str, Any]:
    """Return the schema of one job's message, without its arguments."""
    queue = (
        {"enum": [job.queue, *job.also], "title": f"QueueOf{job.__name__}"}
        if job.also
        else {"const": job.queue}
    )
    return _job_envelope({"const": job.actor}, queue)


def event_envelope(kind: str) -> dict[str, Any]:
    """Return the schema of one event's CloudEvent, without its data."""
    told, _ = _id_of(kind)
    return _event_envelope({"const": PREFIX + kind}, {"const": f"urn:coupontools-worker:{kind}:v1"}, told)


def job_example(job: type[Job]) -> dict[str, Any]:
    """Return a whole message."""
    return {
        "queue_name": job.queue,
        "actor_name": job.actor,
        "args": [],
        "kwargs": _example(job, job.model_json_schema()),
        "options": {"redis_message_id": _ID},
        "message_id": _MESSAGE_ID,
        "message_timestamp": 1767225600000,
    }


def event_example(kind: str) -> dict[str, Any]:
    """Return a whole CloudEvent."""
    _, event_id = _id_of(kind)
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": PREFIX + kind,
        "time": "2026-03-01T12:00:00.000Z",
        "datacontenttype": "application/json",
        "dataschema": f"urn:coupontools-worker:{kind}:v1",
        "data": _data_example(kind),
    }


def open_to_more(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an event without its ban on further fields: v1 may gain some, and a reader must not refuse them."""
    for part in (schema, *schema.get("$defs", {}).values()):
        part.pop("additionalProperties", None)
    return schema


def sentence(model: type[BaseModel]) -> str:
    """Return the first line of a model's docstring."""
    return inspect.cleandoc(model.__doc__ or "").split("\n", maxsplit=1)[0]


def _named(name: str, title: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": _DIALECT, "$id": f"urn:coupontools-worker:{name}:v1", **schema, "title": title}


def _data_example(kind: str) -> dict[str, Any]:
    data = EVENTS[kind]
    example = _example(data, data.model_json_schema(mode="serialization"))
    failed = [actor for actor, job in JOBS.items() if job.failed == kind]
    return example | {"job": failed[0]} if failed else example


def _example(model: type[BaseModel], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the first example of a model.

    Raises:
        TypeError: it has none; the message says what to add, and where.
    """
    if "examples" not in schema:
        place = f"{model.__module__.replace('.', '/')}.py, class {model.__name__}"
        raise TypeError(f"{place}: set the class variable `examples`, as in the other models")
    example: dict[str, Any] = schema["examples"][0]
    return example


def _id_of(kind: str) -> tuple[str, str]:
    """Return what the id of an event of this type is, and an example."""
    if kind in COMMON_EVENTS:
        return _IDS[kind]
    if issubclass(EVENTS[kind], Page):
        return "<message_id>/<page> of the job that the event answers.", f"{_MESSAGE_ID}/1"
    return _OF_A_JOB, _MESSAGE_ID


def _any_job() -> dict[str, Any]:
    queues = dict.fromkeys(queue for job in JOBS.values() for queue in (job.queue, *job.also))
    schema = _job_envelope({"enum": list(JOBS)}, {"enum": list(queues)})
    schema["properties"]["kwargs"] = {
        "type": "object",
        "description": "The job's arguments: jobs/<actor>.v1.json.",
    }
    schema["allOf"] = [
        {
            "if": {"properties": {"actor_name": {"const": actor}}},
            "then": {
                "properties": {
                    "queue_name": {"enum": [job.queue, *job.also]},
                    "kwargs": {"$ref": f"urn:coupontools-worker:{actor}:v1"},
                }
            },
        }
        for actor, job in JOBS.items()
    ]
    schema["examples"] = [job_example(job) for job in JOBS.values()]
    return schema


def _any_event() -> dict[str, Any]:
    ids = dict.fromkeys(_id_of(kind)[0] for kind in EVENTS)
    schema = _event_envelope(
        {"enum": [PREFIX + kind for kind in EVENTS]},
        {
            "type": "string",
            "description": "The `$id` of the schema of `data`: events/<type without `coupontools.`>.v1.json.",
        },
        f"Depends on the event's type: {' Or: '.join(ids)} A reader that sees an id twice drops the second event.",
    )
    schema["properties"]["data"] = {
        "type": "object",
        "description": "The fields of this type of event: events/<type without `coupontools.`>.v1.json.",
    }
    schema["allOf"] = [
        {
            "if": {"properties": {"type": {"const": PREFIX + kind}}},
            "then": {
                "properties": {
                    "dataschema": {"const": f"urn:coupontools-worker:{kind}:v1"},
                    "data": {"$ref": f"urn:coupontools-worker:{kind}:v1"},
                }
            },
        }
        for kind in EVENTS
    ]
    schema["examples"] = [event_example(kind) for kind in EVENTS]
    return schema


def _job_envelope(actor: dict[str, Any], queue: dict[str, Any]) -> dict[str, Any]:
    in_seconds = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": EARLIEST_MS}
    options = {
        "redis_message_id": _text("The id under which Redis stores the message."),
        "traceparent": {
            "description": "W3C trace context; the job's API calls, events and log lines carry it on."
        },
        "eta": {
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": LATEST,
            "not": in_seconds,
            "description": "The job is not carried out before this time (Unix milliseconds).",
        },
    }
    fields = {
        "queue_name": queue,
        "actor_name": actor,
        "args": {"type": "array", "maxItems": 0},
        "kwargs": {},
        "options": {
            "type": "object",
            "description": "Options that the worker does not know are ignored.",
            "required": ["redis_message_id"],
            "properties": options,
        },
        "message_id": _text(
            "Identifies the job in the events that answer it.",
            minLength=1,
            maxLength=255,
            pattern=f"^[^{UNPRINTABLE}]*$",
        ),
        "message_timestamp": {
            "type": "number",
            "minimum": 0,
            "maximum": LATEST,
            "not": in_seconds,
            "description": "When the job was enqueued (Unix milliseconds). The deadline counts from then, or from a later `eta`.",
        },
    }
    return {
        "type": "object",
        "required": list(fields),
        "additionalProperties": False,
        "properties": fields,
    }


def _event_envelope(kind: dict[str, Any], schema: dict[str, Any], told_of_id: str) -> dict[str, Any]:
    required = {
        "specversion": {"const": "1.0"},
        "id": _text(told_of_id, minLength=1),
        "source": {"const": SOURCE},
        "type": kind,
        "time": {"type": "string", "format": "date-time", "description": "RFC 3339, UTC."},
        "datacontenttype": {"const": "application/json"},
        "dataschema": schema,
        "data": {},
    }
    optional = {
        "subject": _text("The id that the event is about, when known."),
        "correlationid": _text("The job's correlation_id, when given."),
        "batchid": _text("The job's batch_id, when given."),
        "originalid": _text("The job's first message_id, if it became a dead letter and was sent again."),
        "idempotencykey": _text(
            "The job's idempotency key, given or derived; absent for a listing without one."
        ),
        "traceparent": _text("The job's trace context, when given."),
    }
    return {"type": "object", "required": list(required), "properties": required | optional}


def _text(description: str, **rules: int | str) -> dict[str, Any]:
    return {"type": "string", "description": description, **rules}
