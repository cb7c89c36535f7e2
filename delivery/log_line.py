"""The canonical log line: one `job.finished` for each attempt."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import structlog

from delivery.task import Cost, Task, now

__all__ = ["LogLine", "Observer", "Trouble"]

log = structlog.get_logger("delivery")

_LEVELS = {"failed": "warning", "held": "warning", "interrupted": "warning"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong in an attempt."""

    kind: str | None = None
    code: int | None = None
    text: str | None = None
    #: In how many seconds the job is tried again.
    retry_in: float | None = None


class Observer:
    """Something else that follows attempts, such as metrics or tracing. A subclass overrides the methods for what it wants to know."""

    def attempt_finished(self, task: Task, outcome: str, fields: dict[str, Any]) -> None:
        """An attempt ended."""

    def call_finished(self, task: Task, seconds: float) -> None:
        """A call of the API ended, whether it failed or not."""

    def read_back_finished(self, task: Task) -> None:
        """A listing was requested, to find out what lost calls did."""

    def entry_rejected(self, queue: str) -> None:
        """An entry of this queue was set aside."""


class LogLine:
    """Writes the line of each attempt, and reports to the observers."""

    def __init__(self, observers: list[Observer] | None = None) -> None:
        self._observers = observers or []

    def rejected(self, task: Task) -> None:
        """Report a message that was set aside because its id was answered before."""
        for observer in self._observers:
            observer.entry_rejected(task.queue)

    def called(self, task: Task, seconds: float) -> None:
        """Report that a call of the API ended, and how long it took without its wait for the pace."""
        for observer in self._observers:
            observer.call_finished(task, seconds)

    def read_back(self, task: Task) -> None:
        """Report a listing that was requested to find out what lost calls did, whether it could be read or not."""
        for observer in self._observers:
            observer.read_back_finished(task)

    def left(self, task: Task, outcome: str, trouble: Trouble) -> None:
        """Log that the message leaves this worker without an answer, if the API was called for it: some line must count each call."""
        if task.cost.api_calls:
            self.finished(task, outcome, task.attempts, trouble)

    def finished(
        self,
        task: Task,
        outcome: str,
        attempt: int,
        trouble: Trouble | None = None,
        *,
        reconciled: bool = False,
    ) -> None:
        """Log that an attempt ended as ``outcome``, and report it; the next attempt counts its costs anew."""
        wrong = trouble or Trouble()
        cost = task.cost
        ended = now()
        total_ms = (ended - cost.fetched) * 1000
        fields: dict[str, Any] = {
            "job": task.job.actor,
            "queue": task.queue,
            "message_id": task.message_id,
            # A key of the sender's own may be made of numbers and names: log only its digest.
            "idempotency_key": task.key if task.job.key_is_derived else task.digest,
            "correlation_id": task.job.correlation_id,
            "attempt": attempt,
            "outcome": outcome,
            "queue_ms": round(max(0.0, time.time() * 1000 - total_ms - task.since)),
            "api_ms": round(cost.api_seconds * 1000, 1),
            "total_ms": round(total_ms, 1),
            "api_calls": cost.api_calls,
        }
        optional = {
            "error_kind": wrong.kind,
            "error_code": wrong.code,
            "error": wrong.text,
            "retry_in_ms": None if wrong.retry_in is None else round(wrong.retry_in * 1000),
            "reconciled": reconciled or None,
            "batch_id": task.job.batch_id,
            "original_id": task.original_id,
            "traceparent": task.traceparent,
        }
        fields |= {name: value for name, value in optional.items() if value is not None}
        getattr(log, _LEVELS.get(outcome, "info"))("job.finished", **fields)
        for observer in self._observers:
            observer.attempt_finished(task, outcome, fields)
        task.cost = Cost()
