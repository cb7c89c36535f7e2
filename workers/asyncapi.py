"""The jobs and events as an AsyncAPI 3.0 document, made from the very models that check and describe them.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from actors import EVENTS, JOBS, Job
from actors.event_data import COMMON_EVENTS
from config.keys import Keys
from delivery import PREFIX, SOURCE

__all__ = ["asyncapi_document"]

_ENQUEUE = "In one MULTI: `HSET {bodies} <id> <message JSON>`, then `RPUSH {ready} <id>`, where <id> is options.redis_message_id."


def asyncapi_document(keys: Keys, version: str) -> dict[str, Any]:
    """Return the document, with the Redis keys of ``keys`` as addresses."""
    queues: dict[str, list[str]] = {}
    for actor, job in JOBS.items():
        queues.setdefault(job.queue, []).append(actor)
    unasked = list(COMMON_EVENTS)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "coupontools-worker",
            "version": version,
            "description": "Jobs are Dramatiq messages in Redis; each is carried out once at the Coupontools API and answered by a "
            "CloudEvent on a Redis stream.",
        },
        "defaultContentType": "application/json",
        "channels": {
            **{queue: _queue_channel(keys, queue, actors) for queue, actors in queues.items()},
            "events": {
                "address": keys.events,
                "title": "Redis stream of answers",
                "description": "An entry has two fields: `type`, and `event`, a CloudEvents 1.0 JSON object in structured mode.",
                "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in EVENTS},
            },
        },
        "operations": {
            **{actor: _operation(actor, job) for actor, job in JOBS.items()},
            "tell": {
                "action": "send",
                "summary": "What is no answer to a readable job.",
                "channel": {"$ref": "#/channels/events"},
                "messages": [{"$ref": f"#/channels/events/messages/{kind}"} for kind in unasked],
            },
        },
        "components": {
            "messages": {
                **{actor: _job_message(actor, job) for actor, job in JOBS.items()},
                **{kind: _event_message(kind, data) for kind, data in EVENTS.items()},
            },
            "schemas": _schemas(),
        },
    }


def _queue_channel(keys: Keys, queue: str, actors: list[str]) -> dict[str, Any]:
    names = keys.queue(queue)
    return {
        "address": names.ready,
        "title": f"Redis list of the queue {queue}",
        "description": _ENQUEUE.format(bodies=names.bodies, ready=names.ready),
        "messages": {actor: {"$ref": f"#/components/messages/{actor}"} for actor in actors},
    }


def _operation(actor: str, job: type[Job]) -> dict[str, Any]:
    return {
        "action": "receive",
        "summary": _sentence(job),
        "channel": {"$ref": f"#/channels/{job.queue}"},
        "messages": [{"$ref": f"#/channels/{job.queue}/messages/{actor}"}],
        "reply": {
            "channel": {"$ref": "#/channels/events"},
            "messages": [
                {"$ref": f"#/channels/events/messages/{kind}"} for kind in (*job.succeeds, job.failed)
            ],
        },
    }


def _job_message(actor: str, job: type[Job]) -> dict[str, Any]:
    options = {
        "redis_message_id": _text("The id under which the message lies."),
        "traceparent": _text("W3C trace context; carried on."),
        "eta": {"type": "number", "description": "Not before this Unix millisecond."},
    }
    fields = {
        "queue_name": {"const": job.queue},
        "actor_name": {"const": actor},
        "args": {"type": "array", "maxItems": 0},
        "kwargs": _reference(job),
        "options": {"type": "object", "required": ["redis_message_id"], "properties": options},
        "message_id": _text("What an answer is matched by.", minLength=1, maxLength=255),
        "message_timestamp": {"type": "number", "description": "Unix milliseconds."},
    }
    payload = {"required": list(fields), "additionalProperties": False, "properties": fields}
    return _message(actor, actor, job, "application/json", payload)


def _event_message(kind: str, data: type[BaseModel]) -> dict[str, Any]:
    required = {
        "specversion": {"const": "1.0"},
        "id": _text("The job's message_id; a list page: <message_id>/<page>."),
        "source": {"const": SOURCE},
        "type": {"const": PREFIX + kind},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"const": f"urn:coupontools-worker:{kind}:v1"},
        "data": _reference(data),
    }
    optional = {
        "subject": _text("The id the event is about, when known."),
        "correlationid": _text("The job's correlation_id, when given."),
        "idempotencykey": _text("The key in force, given or derived."),
        "traceparent": _text("The job's trace context, when given."),
    }
    payload = {"required": list(required), "properties": required | optional}
    return _message(PREFIX + kind, kind, data, "application/cloudevents+json", payload)


def _message(
    name: str, title: str, model: type[BaseModel], content_type: str, payload: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "summary": _sentence(model),
        "contentType": content_type,
        "payload": {"type": "object", **payload},
    }


def _text(description: str, **rules: int) -> dict[str, Any]:
    return {"type": "string", "description": description, **rules}


def _schemas() -> dict[str, Any]:
    models: list[Any] = [(job, "validation") for job in JOBS.values()]
    models += [(data, "serialization") for data in dict.fromkeys(EVENTS.values())]
    _, schema = models_json_schema(models, ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = schema["$defs"]
    return schemas


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _sentence(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "").split("\n", maxsplit=1)[0]
