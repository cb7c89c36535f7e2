"""Where a message becomes a job: its arguments are checked here, and here alone."""

from __future__ import annotations

from typing import Any, Protocol

import structlog

from actors.delivery import Delivery, Failure, Kind, Receipt, Task
from actors.jobs import ArgumentError, InvalidJob, derived_key, parse_job

__all__ = ["Entrance", "Incoming"]

log = structlog.get_logger("actors")


class Incoming(Protocol):
    """A message as the broker hands it on."""

    message_id: str
    message_timestamp: int
    queue_name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    receipt: Receipt


class Entrance:
    """Takes messages to delivery."""

    def __init__(self, delivery: Delivery, *, patience: float) -> None:
        self._delivery = delivery
        #: Seconds that a job waits for an answer unless it says otherwise.
        self._patience = patience

    async def carry_out(self, kind: Kind[Any], message: Incoming) -> None:
        """Carries out one message, or answers what is wrong with it."""
        try:
            if message.args:
                raise InvalidJob(
                    [ArgumentError("args", "must be empty; all arguments are keyword arguments (kwargs)")]
                )
            job = parse_job(kind.job, message.kwargs)
        except InvalidJob as error:
            await self._refuse(kind, message, error)
            return
        task = Task(
            kind=kind,
            job=job,
            receipt=message.receipt,
            message_id=message.message_id,
            since=_since(message),
            queue=message.queue_name,
            patience=float(job.deadline_seconds or self._patience),
            traceparent=_traceparent(message.options),
        )
        try:
            outcome = kind.without_call(job)
            if outcome is None:
                await self._delivery.deliver(task)
            else:
                await self._delivery.answer_at_once(task, outcome)
        except Exception as error:
            log.exception("job.fault", job=job.actor, message_id=task.message_id)
            await self._delivery.fail_at_once(
                task, Failure("internal", f"a fault of ours: {type(error).__name__}")
            )

    async def _refuse(self, kind: Kind[Any], message: Incoming, error: InvalidJob) -> None:
        given = message.kwargs.get("correlation_id")
        echoed = given if isinstance(given, str) and 1 <= len(given) <= 255 and given.isprintable() else None
        task = Task(
            kind=kind,
            job=kind.job.model_construct(correlation_id=echoed),
            receipt=message.receipt,
            message_id=message.message_id,
            since=_since(message),
            queue=message.queue_name,
            patience=self._patience,
            traceparent=_traceparent(message.options),
            fingerprint="invalid",
            key=derived_key(kind.job.actor, message.kwargs),
        )
        failure = Failure("invalid", f"wrong arguments: {error}", details=tuple(error.problems))
        await self._delivery.fail_at_once(task, failure)


def _since(message: Incoming) -> int:
    eta = message.options.get("eta")
    return (
        max(message.message_timestamp, int(eta))
        if isinstance(eta, int | float)
        else message.message_timestamp
    )


def _traceparent(options: dict[str, Any]) -> str | None:
    given = options.get("traceparent")
    return given if isinstance(given, str) and len(given) <= 128 else None
