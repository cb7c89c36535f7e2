"""Counts in a worker process: an observer of delivery's attempts, and a middleware that sees messages arrive."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog
from dramatiq.middleware import Middleware

from actors.event_data import ERROR_KINDS
from delivery import WITHOUT_LETTER, Observer
from workers.broker import DurableMessage
from workers.metrics.counts import reserve
from workers.metrics.exposition import FOLDER_VARIABLE
from workers.metrics.names import ATTEMPTS

if TYPE_CHECKING:
    from delivery import Task

__all__ = ["AttemptMetrics", "attempt_metrics"]

log = structlog.get_logger("workers.metrics")


def attempt_metrics() -> AttemptMetrics | None:
    """Return the metrics of this process, or None if its supervisor serves no metrics or there is no room for them."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return None
    try:
        reserve(folder, os.getpid())
    except OSError as error:
        log.error("metrics.not_counted", error=str(error), setting="TMPDIR")
        return None
    return AttemptMetrics()


class AttemptMetrics(Middleware, Observer):
    """Counts messages when they arrive and attempts when they end."""

    def __init__(self) -> None:
        # Imported only here: when it is imported, the client library decides by FOLDER_VARIABLE where it keeps the numbers.
        import prometheus_client as prometheus  # noqa: PLC0415

        registry = prometheus.CollectorRegistry()
        self._metrics: dict[str, Any] = {}
        for name, metric in ATTEMPTS.items():
            if metric.kind == "counter":
                made: Any = prometheus.Counter(name, metric.help, metric.labels, registry=registry)
            elif metric.kind == "gauge":
                made = prometheus.Gauge(
                    name, metric.help, metric.labels, registry=registry, multiprocess_mode="livesum"
                )
            else:
                made = prometheus.Histogram(
                    name, metric.help, metric.labels, registry=registry, buckets=metric.buckets
                )
            self._metrics[name] = made

    def after_declare_actor(self, broker: Any, actor: Any) -> None:  # noqa: ARG002
        """Begin the counts that alerts watch at 0: Prometheus sees no increase in a count that begins at 1."""
        count = self._metrics
        for queue in (actor.queue_name, *actor.options.get("also", ())):
            for name in ("messages", "message_retries", "message_rejects"):
                count[f"dramatiq_{name}_total"].labels(queue, actor.actor_name)
            count["coupontools_rejected_entries_total"].labels(queue)
        for kind in ERROR_KINDS:
            count["coupontools_outcomes_total"].labels(actor.actor_name, "failed", kind)

    def before_process_message(self, broker: Any, message: Any) -> None:  # noqa: ARG002
        """Count the message as in progress until its receipt is released."""
        if not isinstance(message, DurableMessage):
            return
        gauge = self._metrics["dramatiq_messages_inprogress"].labels(message.queue_name, message.actor_name)
        gauge.inc()
        given = message.receipt.release
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                gauge.dec()
            given()

        message.receipt = replace(message.receipt, release=release)

    def attempt_finished(self, task: Task, outcome: str, fields: dict[str, Any]) -> None:
        """Count an attempt by its outcome."""
        actor = task.job.actor
        message = (task.queue, actor)
        count = self._metrics
        count["coupontools_outcomes_total"].labels(actor, outcome, fields.get("error_kind", "")).inc()
        if outcome in {"held", "interrupted"}:
            return
        count["dramatiq_messages_total"].labels(*message).inc()
        count["dramatiq_message_duration_milliseconds"].labels(*message).observe(fields["total_ms"])
        if outcome == "replayed":
            count["coupontools_replays_total"].labels(actor).inc()
        if outcome in {"failed", "retrying"}:
            count["dramatiq_message_errors_total"].labels(*message).inc()
        if outcome == "retrying":
            count["dramatiq_message_retries_total"].labels(*message).inc()
        # Alerts on this count send operators to the dead letters: a batch that an operator cancelled must raise no alert.
        if outcome == "failed" and fields["error_kind"] not in WITHOUT_LETTER:
            count["dramatiq_message_rejects_total"].labels(*message).inc()

    def entry_rejected(self, queue: str) -> None:
        """Count an entry that was set aside."""
        self._metrics["coupontools_rejected_entries_total"].labels(queue).inc()

    def call_finished(self, task: Task, seconds: float) -> None:
        """Count a call, whatever it was for and however its attempt ends."""
        actor = task.job.actor
        self._metrics["coupontools_api_calls_total"].labels(actor).inc()
        self._metrics["coupontools_api_seconds"].labels(actor).observe(seconds)

    def read_back_finished(self, task: Task) -> None:
        """Count a listing that was asked for to find out what came of lost calls."""
        self._metrics["coupontools_read_backs_total"].labels(task.job.actor).inc()
