"""What the demo enqueues, and exactly what each entry must be answered with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from actors import JOBS, InvalidJob
from sandbox import Sandbox
from workers.broker.entries import Unreadable, read_entry
from workers.producer import Enqueued, job_message

__all__ = ["Expected", "Step", "stages"]

FIRST_CONTACT = {"phone": "+32 470 12 34 56", "first_name": "Zoë", "last_name": "Østergård"}
NOTHING_SPENT = {"attempts": 0, "replayed": False, "reconciled": False}
ONE_CALL = {"attempts": 1, "replayed": False, "reconciled": False}


@dataclass(frozen=True, slots=True)
class Expected:
    """An event's type after the prefix, its subject and its data."""

    type: str
    data: dict[str, Any]
    subject: str | None = None


@dataclass(slots=True)
class Step:
    """One entry: what it shows, the entry itself, and its answer as it must be.

    ``expected`` is asked when the answer is there: it may look at what the API holds by then.
    """

    title: str
    entry: Enqueued
    expected: Callable[[], Expected]
    arguments: dict[str, Any] | None = None
    event: dict[str, Any] = field(default_factory=dict)

    @property
    def event_id(self) -> str:
        """The id of the event that answers it; an entry that nobody can read is named for its place."""
        if self.arguments is None:
            return f"{self.entry.queue}/{self.entry.redis_message_id}"
        return f"{self.entry.message_id}/1" if self.entry.queue == "reads" else self.entry.message_id


def stages(sandbox: Sandbox) -> Iterator[list[Step]]:
    """Entries that may run at once, stage by stage; the next stage is asked for when all of one are answered."""
    groups = [_create_group(sandbox, channel) for channel in ("sms", "email")]
    yield groups
    sms, email = (str(step.event["data"]["group_id"]) for step in groups)

    added = _add_contact(sandbox, "", "sms", sms, FIRST_CONTACT)
    genuine = sandbox.issue_webhook("coupon_claimed")
    yield [
        added,
        _add_contact(sandbox, "", "email", email, {"email": "zoe@example.com", "first_name": "Zoë"}),
        _genuine_webhook(genuine),
        _forged_webhook({**genuine, "campaign": "cam_99999"}, genuine["campaign"]),
        _wrong_job(),
        _unreadable_entry(),
    ]

    sandbox.faults("close_after", endpoint="sms/addcontact", count=1)
    yield [
        _again(added),
        _add_contact(sandbox, "(answer lost)", "sms", sms, {"phone": "+447911123456"}, reconciled=True),
    ]

    yield [
        *(_list_groups(sandbox, channel) for channel in ("sms", "email")),
        *(
            _list_contacts(sandbox, channel, group_id)
            for channel, group_id in (("sms", sms), ("email", email))
        ),
    ]


def _job(title: str, actor: str, arguments: dict[str, Any], expected: Callable[[], Expected]) -> Step:
    return Step(title, job_message(actor, arguments), expected, arguments)


def _create_group(sandbox: Sandbox, channel: str) -> Step:
    name = f"Pizza lovers ({channel})"

    def expected() -> Expected:
        group_id = next((g["group_id"] for g in sandbox.state()["groups"] if g["name"] == name), None)
        data = {"channel": channel, "group_id": group_id, "name": name}
        return Expected("group.created", data | ONE_CALL, group_id)

    return _job(f"create_group {channel}", "create_group", {"channel": channel, "name": name}, expected)


def _add_contact(
    sandbox: Sandbox,
    what: str,
    channel: str,
    group_id: str,
    contact: dict[str, str],
    *,
    reconciled: bool = False,
) -> Step:
    identifying = "phone" if channel == "sms" else "email"
    number = contact[identifying].replace(" ", "")

    def expected() -> Expected:
        held = [c for c in sandbox.state()["contacts"] if c[identifying] == number.removeprefix("+")]
        contact_id = held[0]["contact_id"] if held else None
        data = {
            "channel": channel,
            "group_id": group_id,
            "contact_id": contact_id,
            identifying: number,
            "first_name": contact.get("first_name"),
            "last_name": contact.get("last_name"),
        }
        return Expected("contact.added", data | ONE_CALL | {"reconciled": reconciled}, contact_id)

    arguments = {"channel": channel, "group_id": group_id, **contact}
    return _job(f"add_contact {channel} {what}".rstrip(), "add_contact", arguments, expected)


def _again(first: Step) -> Step:
    def expected() -> Expected:
        data = first.event["data"] | {"attempts": 0, "replayed": True}
        return Expected("contact.added", data, first.event["subject"])

    return _job("add_contact sms (again)", "add_contact", dict(first.arguments or {}), expected)


def _genuine_webhook(body: dict[str, Any]) -> Step:
    def expected() -> Expected:
        data = {
            "webhook_id": body["id"],
            "webhook_type": body["type"],
            "datetime": body["datetime"],
            "campaign": body["campaign"],
            "session": body["session"],
            "payload": body,
            "checked": ["id", "type", "datetime", "campaign", "session", "coupon_code"],
        }
        return Expected("webhook.verified", data | ONE_CALL, body["id"])

    return _job("verify_webhook (genuine)", "verify_webhook", {"payload": body}, expected)


def _forged_webhook(body: dict[str, Any], campaign: str) -> Step:
    def expected() -> Expected:
        mismatch = {"field": "campaign", "received": body["campaign"], "expected": campaign}
        data = {"webhook_id": body["id"], "reason": "mismatch", "mismatches": [mismatch]}
        return Expected("webhook.rejected", data | ONE_CALL, body["id"])

    return _job("verify_webhook (forged)", "verify_webhook", {"payload": body}, expected)


def _wrong_job() -> Step:
    arguments = {"channel": "sms", "group_id": "pizza", "phone": "0470 12 34 56"}

    def expected() -> Expected:
        try:
            JOBS["add_contact"].parse(arguments)
        except InvalidJob as error:
            failure = {
                "kind": "invalid",
                "code": None,
                "message": f"wrong arguments: {error}",
                "details": [{"field": p.field, "message": p.message} for p in error.problems],
            }
        else:
            raise AssertionError("wrong arguments were taken for right ones")
        return Expected("contact.failed", {"job": "add_contact", "error": failure, **NOTHING_SPENT})

    return _job("add_contact sms (wrong)", "add_contact", arguments, expected)


def _unreadable_entry() -> Step:
    whole = job_message("add_contact", {"channel": "sms"})
    cut = Enqueued(whole.queue, whole.redis_message_id, whole.message_id, whole.body[:60])

    def expected() -> Expected:
        try:
            read_entry(cut.queue, cut.redis_message_id, cut.body, {})
        except Unreadable as error:
            reason = str(error)
        else:
            raise AssertionError("half a message was taken for a whole one")
        data = {
            "queue": cut.queue,
            "redis_message_id": cut.redis_message_id,
            "reason": reason,
            "raw": cut.body.decode(),
        }
        return Expected("message.rejected", data)

    return Step("(half a message)", cut, expected)


def _list_groups(sandbox: Sandbox, channel: str) -> Step:
    def expected() -> Expected:
        groups = [
            {"group_id": group["group_id"], "name": group["name"]}
            for group in sandbox.state()["groups"]
            if group["channel"] == channel
        ]
        data = {"channel": channel, "page": 1, "pages": 1, "total": len(groups), "groups": groups}
        return Expected("groups.listed", data | ONE_CALL)

    return _job(f"list_groups {channel}", "list_groups", {"channel": channel}, expected)


def _list_contacts(sandbox: Sandbox, channel: str, group_id: str) -> Step:
    def expected() -> Expected:
        state = sandbox.state()
        contacts = [
            {
                "contact_id": contact["contact_id"],
                "phone": f"+{contact['phone']}" if contact["phone"] else None,
                # The vendor's example of an email group's listing shows no addresses.
                "email": None,
                "first_name": contact["first_name"],
                "last_name": contact["last_name"],
                "unsubscribed": False,
                "unsubscribed_at": None,
            }
            for contact in state["contacts"]
            if contact["group_id"] == group_id
        ]
        name = next(group["name"] for group in state["groups"] if group["group_id"] == group_id)
        data = {
            "channel": channel,
            "group_id": group_id,
            "group_name": name,
            "page": 1,
            "pages": 1,
            "total": len(contacts),
            "contacts": contacts,
        }
        return Expected("contacts.listed", data | ONE_CALL, group_id)

    arguments = {"channel": channel, "group_id": group_id}
    return _job(f"list_contacts {channel}", "list_contacts", arguments, expected)
