"""Where a message becomes a job: its arguments are checked here, and here alone."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Protocol

import structlog

from actors.arguments import MOST_OF_A_BATCH, REPLY_NAME, whole
from actors.job import Job
from actors.problems import ArgumentError, InvalidJob
from config import know
from config.moments import EARLIEST_MS
from delivery import Delivery, Failure, Receipt, Task

__all__ = ["Entrance", "Incoming"]

log = structlog.get_logger("actors")

#: A century; a longer deadline is cut to this.
LONGEST_PATIENCE_SECONDS = 3_155_760_000.0
#: The form of W3C Trace Context (https://www.w3.org/TR/trace-context/#traceparent-header); anything else is ignored.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
#: The log shows the values of these arguments, and ids that begin as the API's ids do; see `_shown`.
_SHOWN = frozenset({"correlation_id", "batch_id", "batch_size", "deadline_seconds", "reply_to"})
_IDS = {"group_id": "gro_", "webhook_id": "evt_"}
#: Arguments that the event of a refused job repeats, where they are valid.
_REPEATED = frozenset({"group_id", "webhook_id", "payload"})


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

    async def carry_out(self, kind: type[Job], message: Incoming) -> None:
        """Carry out one message, or answer it with what is wrong. Whatever fails, this worker does not keep the message."""
        know(message.kwargs, public=_shown(message.kwargs), names=kind.model_fields)
        task: Task | None = None
        try:
            try:
                job = _checked_job(kind, message)
                task = self._task(message, job)
            except InvalidJob as error:
                await self._refuse(kind, message, error)
                return
            outcome = job.without_call()
            if outcome is None:
                await self._delivery.deliver(task)
            else:
                await self._delivery.answer_at_once(task, outcome)
        except Exception as error:
            log.exception("job.fault", job=kind.actor, message_id=message.message_id)
            bare = self._task(message, _bare_job(kind, message, ()), fingerprint="fault")
            await self._give_up(task or bare, error)

    async def _refuse(self, kind: type[Job], message: Incoming, error: InvalidJob) -> None:
        wrong = {problem.field.split(".")[0] for problem in error.problems}
        task = self._task(
            message,
            _bare_job(kind, message, set(kind.model_fields) - wrong),
            fingerprint=f"invalid:{kind.fingerprint_of_raw(message.kwargs)}",
            key=kind.key_of_raw(message.kwargs),
        )
        details = tuple({"field": problem.field, "message": problem.message} for problem in error.problems)
        failure = Failure("invalid", f"wrong arguments: {error}", details=details)
        await self._delivery.fail_at_once(task, failure)

    async def _give_up(self, task: Task, error: Exception) -> None:
        failure = Failure("internal", f"a fault of ours: {type(error).__name__}")
        try:
            await self._delivery.fail_at_once(task, failure)
        except Exception:
            # A message that this worker kept for ever would take a place in its window; enough of them would stop the queue.
            log.critical("job.postponed", job=task.job.actor, message_id=task.message_id, exc_info=True)
            await self._delivery.postpone(task)

    def _task(
        self,
        message: Incoming,
        job: Job,
        *,
        fingerprint: str = "",
        key: str | None = None,
    ) -> Task:
        patience = float(job.deadline_seconds or self._patience)
        return Task(
            job=job,
            receipt=message.receipt,
            message_id=message.message_id,
            since=_since(message),
            queue=message.queue_name,
            patience=min(patience, LONGEST_PATIENCE_SECONDS),
            traceparent=_traceparent(message.options),
            original_id=_printable(message.options.get("original_id")),
            fingerprint=fingerprint,
            key=key,
        )


def _shown(arguments: dict[str, Any]) -> set[str]:
    """Return the arguments whose values the log shows: ids that look like ids, and arguments that name no person."""
    right = {name for name, begin in _IDS.items() if str(arguments.get(name)).startswith(begin)}
    return right.union(_SHOWN, ("channel",) if arguments.get("channel") in ("sms", "email") else ())


def _checked_job(kind: type[Job], message: Incoming) -> Job:
    problems = []
    if message.args:
        problems.append(ArgumentError("args", "must be empty; all arguments are keyword arguments (kwargs)"))
    if 0 < message.message_timestamp < EARLIEST_MS:
        problems.append(
            ArgumentError("message_timestamp", "must be Unix milliseconds; this looks like seconds")
        )
    try:
        job = kind.parse(message.kwargs)
    except InvalidJob as error:
        raise InvalidJob(problems + error.problems) from None
    if problems:
        raise InvalidJob(problems)
    return job


def _bare_job(kind: type[Job], message: Incoming, right: Collection[str]) -> Job:
    """Return a job that has only the arguments known to be right, for its event to repeat."""
    kwargs = message.kwargs
    known = {name: kwargs[name] for name in _REPEATED.intersection(right, kwargs)}
    missing = dict.fromkeys(kind.model_fields)
    echoed = {name: _printable(kwargs.get(name)) for name in ("correlation_id", "batch_id")}
    size, reply = whole(kwargs.get("batch_size")), kwargs.get("reply_to")
    counted = size if type(size) is int and 0 < size <= MOST_OF_A_BATCH and echoed["batch_id"] else None
    answered = reply if isinstance(reply, str) and REPLY_NAME.fullmatch(reply) else None
    return kind.model_construct(**{**missing, **known, **echoed, "batch_size": counted, "reply_to": answered})


def _printable(given: object) -> str | None:
    return given if isinstance(given, str) and 1 <= len(given) <= 255 and given.isprintable() else None


def _since(message: Incoming) -> int:
    eta = message.options.get("eta")
    return (
        max(message.message_timestamp, int(eta))
        if isinstance(eta, int | float)
        else message.message_timestamp
    )


def _traceparent(options: dict[str, Any]) -> str | None:
    given = options.get("traceparent")
    return given if isinstance(given, str) and _TRACEPARENT.fullmatch(given) else None
