"""What the demo enqueues, and what the event that answers each entry must say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from actors import JOBS
from sandbox import Sandbox
from workers.producer import Enqueued, job_message

__all__ = ["Step", "stages"]

NO_CALL = {"attempts": 0, "replayed": False, "reconciled": False}
ONE_CALL = {"attempts": 1, "replayed": False, "reconciled": False}


@dataclass(slots=True)
class Step:
    """An entry of a queue, the type of the event that must answer it, and what that event's data must hold."""

    title: str
    entry: Enqueued
    type: str
    facts: dict[str, Any]
    #: The event, as soon as it has arrived.
    event: dict[str, Any] = field(default_factory=dict)

    @property
    def differences(self) -> list[str]:
        """Return each difference between the event and what it must be, as a sentence."""
        wanted = {"source": "/coupontools-worker", "type": f"coupontools.{self.type}", "data": self.facts}
        return [f"{self.title}: {difference}" for difference in _compare("event", wanted, self.event)]


def stages(sandbox: Sandbox) -> Iterator[list[Step]]:
    """Yield stages; the steps of a stage may run at once. Later stages use the events of earlier ones."""
    groups = [
        _succeeds("create_group sms", "group.created", {"channel": "sms", "name": "Pizza lovers (sms)"}),
        _succeeds(
            "create_group email", "group.created", {"channel": "email", "name": "Pizza lovers (email)"}
        ),
    ]
    yield groups

    sms, email = (_told(group, "channel", "group_id") for group in groups)
    zoe = {"first_name": "Zoë", "last_name": "Østergård"}
    by_sms = {**sms, **zoe, "phone": "+32 470 12 34 56"}
    by_email = {**email, **zoe, "email": "zoe@example.com"}
    contacts = [
        _succeeds("add_contact sms", "contact.added", by_sms),
        _succeeds("add_contact email", "contact.added", by_email),
    ]
    webhook = sandbox.issue_webhook("coupon_claimed")
    fields = ["id", "type", "datetime", "campaign", "session", "coupon_code"]
    yield [
        *contacts,
        _succeeds("verify_webhook (genuine)", "webhook.verified", {"payload": webhook}, checked=fields),
        _wrong_job(),
        _half_a_message(),
    ]

    sandbox.faults("close_after", endpoint="sms/addcontact", count=1)
    ada = {**sms, "phone": "+447911123456", "first_name": "Ada", "last_name": "Lovelace"}
    lost = _succeeds("add_contact sms (answer lost)", "contact.added", ada, reconciled=True)
    again = {**NO_CALL, "replayed": True, **_told(contacts[0], "contact_id")}
    yield [
        # Compared with the API's answer about the genuine webhook a moment ago.
        _forged_webhook(webhook),
        _succeeds("add_contact sms (again)", "contact.added", by_sms, **again),
        lost,
    ]

    listed_groups = [_told(group, "group_id", "name") for group in groups]
    zoe_sms, zoe_email, ada_sms = (
        _told(step, "contact_id", "first_name", "last_name") for step in (*contacts, lost)
    )
    yield [
        _succeeds("list_groups sms", "groups.listed", {"channel": "sms"}, groups=listed_groups[:1]),
        _succeeds("list_groups email", "groups.listed", {"channel": "email"}, groups=listed_groups[1:]),
        _succeeds("list_contacts sms", "contacts.listed", sms, contacts=[zoe_sms, ada_sms]),
        _succeeds("list_contacts email", "contacts.listed", email, contacts=[zoe_email]),
    ]


def _succeeds(title: str, kind: str, arguments: dict[str, Any], **facts: Any) -> Step:
    """Return a job whose event repeats its arguments, brought to one form. The title begins with the job's name."""
    actor = title.split(maxsplit=1)[0]
    repeated = JOBS[actor].parse(arguments).model_dump(exclude_none=True)
    return Step(title, job_message(actor, arguments), kind, {**repeated, **ONE_CALL, **facts})


def _forged_webhook(genuine: dict[str, Any]) -> Step:
    message = job_message("verify_webhook", {"payload": {**genuine, "campaign": "cam_99999"}})
    mismatch = {"field": "campaign", "received": "cam_99999", "expected": genuine["campaign"]}
    facts = {"webhook_id": genuine["id"], "reason": "mismatch", "mismatches": [mismatch], **NO_CALL}
    return Step("verify_webhook (forged)", message, "webhook.rejected", facts)


def _wrong_job() -> Step:
    message = job_message("add_contact", {"channel": "sms", "group_id": "pizza", "phone": "0470 12 34 56"})
    error = {"kind": "invalid", "details": [{"field": "group_id"}, {"field": "phone"}]}
    return Step("add_contact sms (wrong)", message, "contact.failed", {"error": error, **NO_CALL})


def _half_a_message() -> Step:
    whole = job_message("add_contact", {"channel": "sms"})
    half = Enqueued(whole.queue, whole.message_id, whole.body[:60])
    facts = {"queue": half.queue, "redis_message_id": half.message_id, "raw": half.body.decode()}
    return Step("(half a message)", half, "message.rejected", facts)


def _told(step: Step, *names: str) -> dict[str, Any]:
    """Return these fields of the event's data."""
    return {name: step.event["data"][name] for name in names}


def _compare(name: str, wanted: Any, got: Any) -> list[str]:
    """Return where ``got`` differs from ``wanted``. An object may hold more than is wanted, a list may not."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        return [found for key in wanted for found in _compare(key, wanted[key], got.get(key))]
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [found for pair in zip(wanted, got, strict=True) for found in _compare(name, *pair)]
    return [] if wanted == got else [f"{name} is {got!r}, not {wanted!r}"]
