"""Plays the demo: enqueues, hands on each answer as it arrives, and compares everything with what must be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from actors import EVENTS, JOBS
from workers.cli.demo_parts import DemoError, Parts
from workers.cli.demo_script import Step, stages
from workers.producer import enqueue_all
from workers.stream import follow

__all__ = ["Answer", "Report", "play"]

#: How long a stage may take, in seconds; on an idle machine it is one or two.
STAGE_SECONDS = 60.0
#: How often the worker is looked at while nothing arrives, in milliseconds.
LOOK_MS = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """An event that arrived: the step that it answers, how long after enqueueing (ms), and in what it differs from what it must be."""

    step: Step
    event: dict[str, Any]
    raw: bytes
    waited_ms: int
    differences: list[str]


@dataclass(slots=True)
class Report:
    """What came of the demo. ``proven`` are sentences; with ``differences`` it has failed."""

    enqueued: int = 0
    answered: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    proven: list[str] = field(default_factory=list)


def play(parts: Parts, show: Callable[[Answer], None]) -> Report:
    """Plays every stage; the first one that differs is the last.

    Raises:
        DemoError: the worker ended, or did not answer in time.
    """
    report = Report()
    entry_id = "0-0"
    for stage in stages(parts.sandbox):
        enqueue_all(parts.client, parts.keys, [step.entry for step in stage])
        report.enqueued += len(stage)
        entry_id = _collect(parts, stage, entry_id, report, show)
        if report.differences:
            return report
    _look_at_the_end(parts, report)
    return report


def _collect(
    parts: Parts, stage: list[Step], entry_id: str, report: Report, show: Callable[[Answer], None]
) -> str:
    """Reads on until each step of the stage has its answer; answers how far it read."""
    began = time.monotonic()
    missing = {step.event_id: step for step in stage}
    for entry in follow(parts.client, parts.keys.events, entry_id, block_ms=LOOK_MS):
        if entry is None:
            parts.check_worker()
            if time.monotonic() - began > STAGE_SECONDS:
                waiting = ", ".join(step.title for step in missing.values())
                raise DemoError(f"no answer in {STAGE_SECONDS:g} s to: {waiting}\n{parts.log_tail()}")
            continue
        entry_id = entry.entry_id
        event = entry.event
        step = missing.pop(str(event.get("id")), None)
        if step is None:
            report.differences.append(f"an event nobody expected: {entry.raw.decode()}")
            return entry_id
        step.event = event
        report.answered += 1
        waited = round((time.monotonic() - began) * 1000)
        answer = Answer(step, event, entry.raw, waited, _differences(step, entry.type))
        report.differences += [f"{step.title}: {difference}" for difference in answer.differences]
        show(answer)
        if not missing:
            return entry_id
    raise AssertionError("a stream that is followed has no end")


def _differences(step: Step, field_type: str) -> list[str]:
    """In what the step's event is not exactly what it must be."""
    expected = step.expected()
    kind = f"coupontools.{expected.type}"
    wanted: dict[str, Any] = {
        "specversion": "1.0",
        "id": step.event_id,
        "source": "/coupontools-worker",
        "type": kind,
        "subject": expected.subject,
        "datacontenttype": "application/json",
        "dataschema": f"urn:coupontools-worker:{expected.type}:v1",
        "idempotencykey": _key_in_force(step),
        "data": expected.data,
    }
    got = {name: value for name, value in step.event.items() if name != "time"}
    found = [
        f"{name} is {got.get(name)!r}, not {wanted.get(name)!r}"
        for name in sorted({*wanted, *got})
        if got.get(name) != wanted.get(name)
    ]
    if field_type != kind:
        found.append(f"the entry's field type is {field_type!r}, not {kind!r}")
    if found:
        return found
    return _wrong_time(step.event.get("time")) + _against_schema(expected.type, got.get("data"))


def _key_in_force(step: Step) -> str | None:
    if step.arguments is None:
        return None
    given = step.event.get("idempotencykey")
    if step.event.get("type") == "coupontools.contact.failed":
        # Arguments that break the rules have no canonical form: any derived key will do.
        return given if isinstance(given, str) and given.startswith("derived:") else "derived:..."
    return JOBS[_actor(step)].parse(step.arguments).key


def _actor(step: Step) -> str:
    return step.title.split(maxsplit=1)[0]


def _wrong_time(given: Any) -> list[str]:
    try:
        zone = datetime.fromisoformat(str(given)).utcoffset()
    except ValueError:
        zone = None
    return [] if zone == timedelta(0) else [f"time is {given!r}, not RFC 3339 in UTC"]


def _against_schema(kind: str, data: Any) -> list[str]:
    try:
        EVENTS[kind].model_validate(data, strict=True)
    except ValidationError as error:
        return [f"data does not fit its schema: {error}"]
    return []


def _look_at_the_end(parts: Parts, report: Report) -> None:
    """Counts at the API and in Redis: nothing lost, nothing doubled, nothing left."""
    held = parts.sandbox.state()["counts"]
    calls = {name: tally["calls"] for name, tally in parts.sandbox.stats()["endpoints"].items()}
    queues = sorted({job.queue for job in JOBS.values()})
    with parts.client.pipeline(transaction=False) as pipeline:
        pipeline.xlen(parts.keys.events)
        for queue in map(parts.keys.queue, queues):
            pipeline.hlen(queue.bodies)
        for queue in map(parts.keys.queue, queues):
            pipeline.zcard(queue.dead)
        events, *rest = (int(number) for number in pipeline.execute())
    report.counts = {
        "events": events,
        "left in queues": sum(rest[: len(queues)]),
        "dead letters": sum(rest[len(queues) :]),
        "groups at the API": held["groups"],
        "contacts at the API": held["contacts"],
        "doubled at the API": held["surplus_groups"] + held["surplus_contacts"],
        "calls to add a contact": calls["sms/addcontact"] + calls["email/addcontact"],
        "calls to verify a webhook": calls["webhook/verification"],
    }
    wanted = {
        "events": report.enqueued,
        "left in queues": 0,
        "dead letters": 2,
        "groups at the API": 2,
        "contacts at the API": 3,
        "doubled at the API": 0,
        "calls to add a contact": 3,
        "calls to verify a webhook": 2,
    }
    report.differences += [
        f"{name}: {report.counts[name]}, not {number}"
        for name, number in wanted.items()
        if report.counts[name] != number
    ]
    report.proven = [
        f"{report.enqueued} entries were enqueued and {events} events answer them, each exactly as it must be; none is left in a queue.",
        f"The API holds {held['groups']} groups and {held['contacts']} contacts: nothing lost, nothing doubled.",
        "One contact's answer was lost on the way back. The worker asked whether it had been added instead of adding it again.",
        "The job enqueued twice was carried out once; the second was answered from the record.",
        "The forged webhook differs from what Coupontools has on record, and the event says in which field.",
        "The wrong job and half a message stand aside as dead letters, and held up nobody.",
    ]
