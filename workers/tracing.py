"""OpenTelemetry spans, when the ``otel`` extra is installed: one for each attempt, after the messaging conventions.

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ - the process must configure a tracer provider (for example
with ``opentelemetry-instrument``); without one the spans go nowhere and cost next to nothing.
"""

from __future__ import annotations

import time
from typing import Any

from delivery import Observer, Task

__all__ = ["Tracing", "tracing_if_installed"]


def tracing_if_installed() -> Tracing | None:
    """Return the observer, or None if OpenTelemetry is not installed."""
    try:
        from opentelemetry import trace  # noqa: PLC0415 - an extra
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )
    except ImportError:
        return None
    return Tracing(trace, TraceContextTextMapPropagator())


class Tracing(Observer):
    """Observes attempts. The producer's ``traceparent`` is the parent of each attempt's span."""

    def __init__(self, trace: Any, propagator: Any) -> None:
        self._trace = trace
        # This tracer also follows a provider that is set later.
        self._tracer = trace.get_tracer("coupontools-worker")
        self._propagator = propagator

    def attempt_finished(self, task: Task, outcome: str, fields: dict[str, Any]) -> None:
        """Record the attempt that has just ended."""
        trace = self._trace
        ended = time.time_ns()
        carrier = {"traceparent": task.traceparent} if task.traceparent else {}
        attributes = {
            "messaging.system": "redis",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": task.queue,
            "messaging.message.id": task.message_id,
            "coupontools.job": task.job.actor,
            "coupontools.outcome": outcome,
            "coupontools.attempt": fields["attempt"],
            "coupontools.api_calls": fields["api_calls"],
            "coupontools.api_ms": fields["api_ms"],
        }
        if task.job.correlation_id:
            attributes["messaging.message.conversation_id"] = task.job.correlation_id
        if "error_kind" in fields:
            attributes["error.type"] = fields["error_kind"]
        span = self._tracer.start_span(
            f"process {task.queue}",
            context=self._propagator.extract(carrier),
            kind=trace.SpanKind.CONSUMER,
            attributes=attributes,
            start_time=ended - round(fields["total_ms"] * 1e6),
        )
        if outcome == "failed":
            span.set_status(trace.StatusCode.ERROR, fields.get("error_kind"))
        span.end(ended)
