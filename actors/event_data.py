"""The data of events: the fields of every answer, and the events that all jobs share. A job's own file has the data of its success."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict

from config.names import HoldKind
from coupontools import Scope

__all__ = [
    "COMMON_EVENTS",
    "ERROR_KINDS",
    "ONE_CALL",
    "ONE_PAGE",
    "Answer",
    "Data",
    "JobFailed",
    "Page",
    "show_examples",
]

ErrorKind = Literal["invalid", "conflict", "rejected", "expired", "unknown", "cancelled", "internal"]
#: How a job may end without success.
ERROR_KINDS: Final[tuple[ErrorKind, ...]] = get_args(ErrorKind)

#: The fields of `Answer` in the examples of the published schemas.
ONE_CALL: Final = {"attempts": 1, "replayed": False, "reconciled": False}
#: The fields of `Page` there, without the channel.
ONE_PAGE: Final = {"page": 1, "pages": 1, "total": 1, "complete": True, **ONE_CALL}


def show_examples(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Show the examples of a model in its published schema."""
    if "examples" in vars(model):
        schema["examples"] = vars(model)["examples"]


class Data(BaseModel):
    """The data of an event."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=show_examples)

    #: Shown in the published schema.
    examples: ClassVar[list[dict[str, Any]]]


class Answer(Data):
    """The fields of every job's terminal event."""

    attempts: int
    replayed: bool
    reconciled: bool


class Page(Answer):
    """The fields of every page of a listing."""

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

    examples: ClassVar = [
        {
            "job": "add_contact",
            "error": {
                "kind": "expired",
                "code": None,
                "message": "the deadline passed before the API had carried the job out",
                "details": [],
            },
            **ONE_CALL,
        }
    ]

    job: str
    error: Failure


class MessageRejected(Data):
    """An entry in a queue is not a readable job, or its message_id was answered before."""

    examples: ClassVar = [
        {
            "queue": "contacts",
            "redis_message_id": "3b0c1a52-0a52-4a26-8f39-5d1c1b0f6d3e",
            "reason": "the message is no JSON object",
            "raw": "[]",
        }
    ]

    queue: str
    redis_message_id: str
    reason: str
    raw: str


class Hold(Data):
    """The fields of an event about a hold."""

    scope: Scope
    kind: HoldKind
    code: int | None
    message: str
    retry_at: str | None
    worker: str | None


class AccountHeld(Hold):
    """Work is held: the account or its credentials are refused, the API does not answer or asks for a pause, or an operator paused it."""

    examples: ClassVar = [
        {
            "scope": "account",
            "kind": "refused",
            "code": 1000,
            "message": "HTTP/1.0 401 Unauthorized. Client ID or Secret not correct.",
            "retry_at": "2026-03-01T12:00:01.000Z",
            "worker": "worker-1:4711",
        }
    ]


class AccountReleased(Hold):
    """A hold has ended: its work goes on."""

    examples: ClassVar = [
        AccountHeld.examples[0] | {"code": None, "message": "work goes on", "retry_at": None}
    ]


class BatchFinished(Data):
    """All jobs of a batch are answered: as many as its batch_size says."""

    examples: ClassVar = [
        {
            "batch_id": "spring-2026",
            "total": 1000,
            "succeeded": 990,
            "replayed": 7,
            "failed": {"rejected": 3},
            "began_at": "2026-03-01T12:00:00.000Z",
            "finished_at": "2026-03-01T12:01:40.000Z",
        }
    ]

    batch_id: str
    total: int
    succeeded: int
    replayed: int
    failed: dict[str, int]
    began_at: str
    finished_at: str


#: The events that do not belong to one kind of job, by type after the prefix.
COMMON_EVENTS: dict[str, type[Data]] = {
    "message.rejected": MessageRejected,
    "account.held": AccountHeld,
    "account.released": AccountReleased,
    "batch.finished": BatchFinished,
}
