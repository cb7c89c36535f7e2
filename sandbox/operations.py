"""What each of the nine endpoints does when nothing is wrong with the line.

Answers copy the vendor's examples, their numbers-or-strings included: `groupid` is a number for SMS,
`group_id` text for email; `amount_of_groups` is a number, `amount_of_contacts`
text; phones come back without the plus.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson

from sandbox.answers import Answer
from sandbox.envelopes import GROUP_NOT_FOUND, WEBHOOK_NOT_FOUND, RefusedError
from sandbox.listing import contact_rows, group_rows, listing_body
from sandbox.names import Channel, EndpointName
from sandbox.parameters import (
    Parameters,
    check_birthday,
    check_email,
    check_id,
    check_phone,
    require,
    text,
)
from sandbox.settings import SandboxConfig
from sandbox.store import Contact, Group, Store
from sandbox.webhooks import verification_answer

_OK: Final[dict[str, Any]] = {"status": {"status": "OK"}}
_GROUP_PARAMETER: Final[Mapping[Channel, str]] = {"sms": "smsgroup", "email": "emailgroup"}
_CUSTOM_PARAMETERS: Final[Mapping[Channel, tuple[str, ...]]] = {
    "sms": tuple(f"customfield{number}" for number in range(1, 8)),
    "email": tuple(f"custom{number}" for number in range(1, 11)),
}


@dataclass(frozen=True, slots=True)
class Done:
    """A call carried out: its answer, and the id of what it made, if anything."""

    answer: Answer
    created: str | None = None


Operation = Callable[[Store, SandboxConfig, Parameters], Done]


def _ok(fields: dict[str, Any], created: str | None = None) -> Done:
    return Done(Answer(200, orjson.dumps({**_OK, **fields})), created)


def _find_group(channel: Channel, store: Store, parameters: Parameters) -> Group:
    group_id = check_id(parameters, _GROUP_PARAMETER[channel])
    group = store.groups[channel].get(group_id)
    if group is None:
        raise RefusedError((GROUP_NOT_FOUND, "Group ID not found"))
    return group


def _grouplist(channel: Channel, store: Store, _settings: SandboxConfig, _parameters: Parameters) -> Done:
    rows = group_rows(store.groups[channel])
    return Done(Answer(200, listing_body({**_OK, "amount_of_groups": rows.count}, rows)))


def _userlist(channel: Channel, store: Store, settings: SandboxConfig, parameters: Parameters) -> Done:
    require(parameters, _GROUP_PARAMETER[channel])
    group = _find_group(channel, store, parameters)
    rows = contact_rows(group, channel, with_email=settings.email_listing)
    head = {
        **_OK,
        "group_id": group.group_id,
        "group_name": group.name,
        "amount_of_contacts": str(rows.count),
    }
    return Done(Answer(200, listing_body(head, rows)))


def _addgroup(channel: Channel, store: Store, _settings: SandboxConfig, parameters: Parameters) -> Done:
    # The document requires group_name and lists no error for its absence; 200 is the code of every other one.
    require(parameters, "group_name")
    group_id = store.add_group(channel, text(parameters, "group_name")).group_id
    named = {"groupid": int(group_id.removeprefix("gro_"))} if channel == "sms" else {"group_id": group_id}
    return _ok({"result": "saved_successfully", **named}, created=group_id)


def _addcontact(channel: Channel, store: Store, _settings: SandboxConfig, parameters: Parameters) -> Done:
    address = "phone" if channel == "sms" else "email"
    require(parameters, address, _GROUP_PARAMETER[channel])
    group = _find_group(channel, store, parameters)
    checked = check_phone(parameters) if channel == "sms" else check_email(parameters)
    birthday = check_birthday(parameters)
    contact = Contact(
        contact_id=store.next_contact_id(),
        first_name=text(parameters, "first_name"),
        last_name=text(parameters, "last_name"),
        birthday=birthday,
        custom=_given(parameters, _CUSTOM_PARAMETERS[channel]),
    )
    setattr(contact, address, checked)
    group.contacts.append(contact)
    return _ok(
        {
            "group_id": group.group_id,
            address: checked,
            "first_name": contact.first_name,
            "last_name": contact.last_name,
            "result": "saved_successfully",
            "contact_id": contact.contact_id,
        },
        created=contact.contact_id,
    )


def _given(parameters: Parameters, names: Iterable[str]) -> dict[str, str]:
    return {name: text(parameters, name) for name in names if name in parameters}


def _verification(store: Store, settings: SandboxConfig, parameters: Parameters) -> Done:
    require(parameters, "webhook")
    webhook_id = text(parameters, "webhook")
    webhook = store.webhooks.get(webhook_id)
    if webhook is None:
        raise RefusedError((WEBHOOK_NOT_FOUND, "Webhook not found"))
    old = settings.old_webhook_answer or webhook_id in store.old_answers
    return _ok(verification_answer(webhook, old=old))


OPERATIONS: Final[Mapping[EndpointName, Operation]] = {
    "sms/grouplist": partial(_grouplist, "sms"),
    "sms/userlist": partial(_userlist, "sms"),
    "sms/addgroup": partial(_addgroup, "sms"),
    "sms/addcontact": partial(_addcontact, "sms"),
    "email/grouplist": partial(_grouplist, "email"),
    "email/userlist": partial(_userlist, "email"),
    "email/addgroup": partial(_addgroup, "email"),
    "email/addcontact": partial(_addcontact, "email"),
    "webhook/verification": _verification,
}
