"""What every job answers: the data of each event, and the CloudEvents envelope around it.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

import orjson
from pydantic import BaseModel, ConfigDict

__all__ = ["ERROR_KINDS", "EVENTS", "PREFIX", "SOURCE", "Failure", "envelope", "failed_type", "timestamp"]

SOURCE = "/coupontools-worker"
PREFIX = "coupontools."

ErrorKind = Literal["invalid", "conflict", "rejected", "expired", "unknown", "internal"]
#: How a job may end without success.
ERROR_KINDS: Final[tuple[ErrorKind, ...]] = get_args(ErrorKind)


class Data(BaseModel):
    """The data of an event."""

    model_config = ConfigDict(extra="forbid")


class Answer(Data):
    """What every job's terminal event carries."""

    attempts: int
    replayed: bool
    reconciled: bool


class ContactAdded(Answer):
    """add_contact succeeded."""

    channel: Literal["sms", "email"]
    group_id: str
    contact_id: str
    phone: str | None = None
    email: str | None = None
    first_name: str | None
    last_name: str | None


class GroupCreated(Answer):
    """create_group succeeded."""

    channel: Literal["sms", "email"]
    group_id: str
    name: str


class WebhookVerified(Answer):
    """The API knows the webhook, and every field that can be compared agrees."""

    webhook_id: str
    webhook_type: str | None
    datetime: str | None
    campaign: str | None
    session: str | None
    payload: dict[str, Any] | None
    checked: list[str]


class Mismatch(Data):
    """A field that differs."""

    field: str
    received: Any
    expected: Any


class WebhookRejected(Answer):
    """The API does not know the webhook, or a field differs: treat it as forged."""

    webhook_id: str
    reason: Literal["not_found", "mismatch", "unverifiable"]
    mismatches: list[Mismatch]


class ListedGroup(Data):
    """One group of a listing."""

    group_id: str
    name: str


class GroupsListed(Answer):
    """One page of list_groups."""

    channel: Literal["sms", "email"]
    page: int
    pages: int
    total: int
    groups: list[ListedGroup]


class ListedContact(Data):
    """One contact of a listing."""

    contact_id: str
    phone: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    unsubscribed: bool
    unsubscribed_at: str | None


class ContactsListed(Answer):
    """One page of list_contacts."""

    channel: Literal["sms", "email"]
    group_id: str
    group_name: str | None
    page: int
    pages: int
    total: int
    contacts: list[ListedContact]


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
    """An entry in a queue is no readable job."""

    queue: str
    redis_message_id: str
    reason: str
    raw: str


class AccountHeld(Data):
    """Work is held because the account or its credentials are refused, or the API is down."""

    scope: Literal["account", "sms", "email"]
    code: int | None
    message: str
    retry_at: str


class AccountReleased(Data):
    """Work goes on."""

    scope: Literal["account", "sms", "email"]
    code: int | None
    message: str
    retry_at: str | None


#: The data of every event type, by its name after the prefix ``coupontools.``.
EVENTS: dict[str, type[Data]] = {
    "contact.added": ContactAdded,
    "group.created": GroupCreated,
    "webhook.verified": WebhookVerified,
    "webhook.rejected": WebhookRejected,
    "groups.listed": GroupsListed,
    "contacts.listed": ContactsListed,
    "contact.failed": JobFailed,
    "group.failed": JobFailed,
    "webhook.failed": JobFailed,
    "groups.failed": JobFailed,
    "contacts.failed": JobFailed,
    "message.rejected": MessageRejected,
    "account.held": AccountHeld,
    "account.released": AccountReleased,
}

_FAILED = {
    "add_contact": "contact.failed",
    "create_group": "group.failed",
    "verify_webhook": "webhook.failed",
    "list_groups": "groups.failed",
    "list_contacts": "contacts.failed",
}


def failed_type(actor: str) -> str:
    """The event type of a failure of this actor's jobs."""
    return _FAILED[actor]


def timestamp(at: float | None = None) -> str:
    """RFC 3339 in UTC, of ``at`` (Unix seconds) or now."""
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def envelope(
    kind: str,
    *,
    event_id: str,
    data: dict[str, Any],
    subject: str | None = None,
    correlation_id: str | None = None,
    idempotency_key: str | None = None,
    traceparent: str | None = None,
) -> tuple[str, str]:
    """An event as the stream holds it: its type and its JSON.

    Attributes without a value are left out, as CloudEvents asks.
    """
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": PREFIX + kind,
        "time": timestamp(),
        "datacontenttype": "application/json",
        "dataschema": f"urn:coupontools-worker:{kind}:v1",
    }
    optional = {
        "subject": subject,
        "correlationid": correlation_id,
        "idempotencykey": idempotency_key,
        "traceparent": traceparent,
    }
    event |= {name: value for name, value in optional.items() if value}
    event["data"] = data
    return event["type"], orjson.dumps(event).decode()
