"""The jobs and events as an AsyncAPI 3.0 document, made from the very models that check and describe them.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from actors import EVENTS, JOBS, Job
from actors.event_data import COMMON_EVENTS
from config.keys import Keys
from delivery import PREFIX
from workers.schemas import (
    event_envelope,
    event_example,
    job_envelope,
    job_example,
    open_to_more,
    rules_together,
    schema_files,
    sentence,
)

__all__ = ["asyncapi_document", "contract_files"]

#: The name of the schema of a message's options.
_OPTIONS = "MessageOptions"
_ENQUEUE = "In one MULTI: `HSET {bodies} <id> <message JSON>`, then `RPUSH {ready} <id>`, where <id> is options.redis_message_id."


def asyncapi_document(keys: Keys, version: str) -> dict[str, Any]:
    """Return the document, with the Redis keys of ``keys`` as addresses."""
    queues: dict[str, list[str]] = {}
    for actor, job in JOBS.items():
        for queue in (job.queue, *job.also):
            queues.setdefault(queue, []).append(actor)
    unasked = list(COMMON_EVENTS)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "coupontools-worker",
            "version": version,
            "description": "Jobs are Dramatiq messages in Redis; each is carried out once at the Coupontools API and answered by a "
            "CloudEvent on a Redis stream.",
            "contact": {"name": "The maintainers of coupontools-worker"},
            "license": {"name": "MIT", "url": "https://spdx.org/licenses/MIT.html"},
            "tags": [
                {"name": "jobs", "description": "The jobs that a service may enqueue."},
                {
                    "name": "events",
                    "description": "The answers to jobs, and what else the worker reports.",
                },
            ],
        },
        "servers": {
            "redis": {
                "host": "localhost:6379",
                "protocol": "redis",
                "description": "The Redis that the worker's REDIS_URL names; each deployment has its own address.",
            }
        },
        "defaultContentType": "application/json",
        "channels": {
            **{queue: _queue_channel(keys, queue, actors) for queue, actors in queues.items()},
            "events": {
                "address": keys.events,
                "title": "Redis stream of events",
                "description": "An entry has two fields: `type`, and `event`, a CloudEvents 1.0 JSON object in structured mode.",
                "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in EVENTS},
            },
        },
        "operations": {
            **_operations(),
            "tell": {
                "action": "send",
                "summary": "The events that do not answer a readable job.",
                "description": "Read these beside the answers: an entry is not a readable job, work is held or goes on, a batch has ended.",
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


def contract_files(version: str) -> dict[str, dict[str, Any]]:
    """Return the document and every schema by the paths of their files, with the Redis keys of the default settings."""
    return {"asyncapi.json": asyncapi_document(Keys(), version), **schema_files()}


def _queue_channel(keys: Keys, queue: str, actors: list[str]) -> dict[str, Any]:
    names = keys.queue(queue)
    return {
        "address": names.ready,
        "title": f"Redis list of the queue {queue}",
        "description": _ENQUEUE.format(bodies=names.bodies, ready=names.ready),
        "messages": {actor: {"$ref": f"#/components/messages/{actor}"} for actor in actors},
    }


def _operations() -> dict[str, Any]:
    """Return an operation for each queue that a job may be put on; that of the job's own queue has the job's name."""
    return {
        actor if queue == job.queue else f"{actor}.{queue}": _operation(actor, job, queue)
        for actor, job in JOBS.items()
        for queue in (job.queue, *job.also)
    }


def _operation(actor: str, job: type[Job], queue: str) -> dict[str, Any]:
    kinds = (*job.succeeds, job.failed)
    return {
        "action": "receive",
        "summary": sentence(job),
        "description": f"Enqueue `{actor}` on the queue `{queue}`; it is answered by {' or '.join(f'`{PREFIX}{kind}`' for kind in kinds)}.",
        "channel": {"$ref": f"#/channels/{queue}"},
        "messages": [{"$ref": f"#/channels/{queue}/messages/{actor}"}],
        "reply": {
            "channel": {"$ref": "#/channels/events"},
            "messages": [{"$ref": f"#/channels/events/messages/{kind}"} for kind in kinds],
        },
    }


def _job_message(actor: str, job: type[Job]) -> dict[str, Any]:
    return _message(actor, job, "application/json", _message_schema(job), job_example(job))


def _event_message(kind: str, data: type[BaseModel]) -> dict[str, Any]:
    return _message(
        PREFIX + kind, data, "application/cloudevents+json", _event_schema(kind), event_example(kind)
    )


def _message_schema(job: type[Job]) -> str:
    """Return the name of the schema of a job's whole message."""
    return f"{job.__name__}Message"


def _event_schema(kind: str) -> str:
    """Return the name of the schema of a whole event."""
    return "".join(word.capitalize() for word in kind.split(".")) + "Event"


def _message(
    name: str,
    model: type[BaseModel],
    content_type: str,
    schema: str,
    example: dict[str, Any],
) -> dict[str, Any]:
    return {
        "name": name,
        "title": name.removeprefix(PREFIX),
        "summary": sentence(model),
        "contentType": content_type,
        "payload": _reference(schema),
        "examples": [{"payload": example}],
    }


def _schemas() -> dict[str, Any]:
    """Return every schema by its name: code generators call a schema without a name anonymous."""
    jobs: list[Any] = [(job, "validation") for job in JOBS.values()]
    events: list[Any] = [(data, "serialization") for data in dict.fromkeys(EVENTS.values())]
    schemas: dict[str, Any] = _definitions(jobs) | open_to_more({"$defs": _definitions(events)})["$defs"]
    for job in JOBS.values():
        schemas[job.__name__]["allOf"] = rules_together(job)
        message = job_envelope(job)
        schemas[_OPTIONS] = message["properties"]["options"] | {"title": _OPTIONS}
        message["properties"] |= {"kwargs": _reference(job.__name__), "options": _reference(_OPTIONS)}
        schemas[_message_schema(job)] = message | {"title": _message_schema(job)}
    for kind, data in EVENTS.items():
        event = event_envelope(kind)
        event["properties"]["data"] = _reference(data.__name__)
        schemas[_event_schema(kind)] = event | {"title": _event_schema(kind)}
    return schemas


def _reference(schema: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _definitions(models: list[Any]) -> dict[str, Any]:
    _, schema = models_json_schema(models, ref_template="#/components/schemas/{model}")
    definitions: dict[str, Any] = schema["$defs"]
    return definitions
