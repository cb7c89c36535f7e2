"""The data of events: what all answers carry, and the events that are no job's own. A job's file holds the data of its success."""

from __future__ import annotations

from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict

__all__ = ["COMMON_EVENTS", "ERROR_KINDS", "Answer", "Data", "JobFailed", "Page"]

ErrorKind = Literal["invalid", "conflict", "rejected", "expired", "unknown", "cancelled", "internal"]
#: How a job may end without success.
ERROR_KINDS: Final[tuple[ErrorKind, ...]] = get_args(ErrorKind)
Scope = Literal["account", "sms", "email"]
HoldKind = Literal["refused", "outage", "paused", "asked"]


class Data(BaseModel):
    """The data of an event."""

    model_config = ConfigDict(extra="forbid")


class Answer(Data):
    """What every job's terminal event carries."""

    attempts: int
    replayed: bool
    reconciled: bool


class Page(Answer):
    """What every page of a listing carries."""

    channel: Literal["sms", "email"]
    page: int
    pages: int
    total: int
    complete: bool


class Detail(Data):
    """What is wrong with one argument."""

    field: str
    message: str


class Failure(Data):
    """Why a job ended without success."""

    kind: ErrorKind
    code: int | None = None
    message: str
    details: list[Detail] = []


class JobFailed(Answer):
    """The job ended without success."""

    job: str
    error: Failure


class MessageRejected(Data):
    """An entry in a queue is no readable job, or its message_id was answered before."""

    queue: str
    redis_message_id: str
    reason: str
    raw: str


class AccountHeld(Data):
    """Work is held: the account or its credentials are refused, the API does not answer or asks for a pause, or an operator paused it."""

    scope: Scope
    kind: HoldKind
    code: int | None
    message: str
    retry_at: str | None
    worker: str | None


class AccountReleased(Data):
    """Work goes on."""

    scope: Scope
    kind: HoldKind
    code: int | None
    message: str
    retry_at: str | None
    worker: str | None


class BatchFinished(Data):
    """As many jobs of a batch as it has are answered."""

    batch_id: str
    total: int
    succeeded: int
    replayed: int
    failed: dict[str, int]
    began_at: str
    finished_at: str


#: The events that are no job's own, by type after the prefix.
COMMON_EVENTS: dict[str, type[Data]] = {
    "message.rejected": MessageRejected,
    "account.held": AccountHeld,
    "account.released": AccountReleased,
    "batch.finished": BatchFinished,
}
