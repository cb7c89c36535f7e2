"""Trace context: carried to logs, to the API call, to the event, and into spans."""

from __future__ import annotations

import json

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from actors import JOBS
from delivery import Receipt, Task
from tests.harness import House, message, wait_for
from workers.tracing import Tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class Provided:
    """The tracing API, with a provider of its own."""

    SpanKind = trace.SpanKind
    StatusCode = trace.StatusCode

    def __init__(self, provider: TracerProvider) -> None:
        self.get_tracer = provider.get_tracer


def test_a_traceparent_is_carried_to_the_log_the_call_and_the_event(house: House) -> None:
    group_id = house.new_group()
    worker = house.worker()
    queue, redis_id, body = message(
        "add_contact", {"channel": "sms", "group_id": group_id, "phone": "+32470123456"}
    )
    body["options"] |= {"traceparent": TRACEPARENT, "sentry": {"trace": "x"}}
    house.push(queue, redis_id, json.dumps(body))
    event = house.answer(body["message_id"])
    assert event["traceparent"] == TRACEPARENT
    assert house.sandbox.requests()[-1]["traceparent"] == TRACEPARENT
    wait_for(lambda: worker.log_lines("job.finished"), what="the line")
    assert worker.log_lines("job.finished")[-1]["traceparent"] == TRACEPARENT


def test_each_attempt_is_a_span_under_the_producers() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    job = JOBS["list_groups"].parse({"channel": "sms", "correlation_id": "order 7"})
    receipt = Receipt("id", "", "", "", "", "", "", release=lambda: None)
    task = Task(job, receipt, "message", 0, "reads", 60.0, traceparent=TRACEPARENT)
    fields = {"attempt": 2, "api_calls": 1, "api_ms": 3.5, "total_ms": 12.0, "error_kind": "rejected"}
    Tracing(Provided(provider), TraceContextTextMapPropagator()).attempt_finished(task, "failed", fields)
    provider.shutdown()
    (span,) = exporter.get_finished_spans()
    assert span.name == "process reads"
    assert span.kind is trace.SpanKind.CONSUMER
    assert format(span.context.trace_id, "032x") == TRACE
    assert format(span.parent.span_id, "016x") == "00f067aa0ba902b7"
    assert span.end_time - span.start_time == 12_000_000
    assert span.attributes["messaging.system"] == "redis"
    assert span.attributes["messaging.destination.name"] == "reads"
    assert span.attributes["messaging.message.id"] == "message"
    assert span.attributes["messaging.message.conversation_id"] == "order 7"
    assert span.attributes["error.type"] == "rejected"
    assert span.status.status_code is trace.StatusCode.ERROR
