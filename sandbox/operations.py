"""What each of the client's endpoints does with a call that no fault befalls.

Answers copy the vendor's examples, also in what is a number and what is text: `groupid` is a number for SMS,
`group_id` text for email; `amount_of_groups` is a number, `amount_of_contacts` text; phones come back without
the plus.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson

from coupontools import SPELLING, Channel, Endpoint, Operation
from sandbox.answers import Answer
from sandbox.envelopes import GROUP_NOT_FOUND, WEBHOOK_NOT_FOUND, RefusedError
from sandbox.listing import contact_rows, group_rows, listing
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


@dataclass(frozen=True, slots=True)
class Done:
    """A call carried out: its answer, and the id of what it made, if anything."""

    answer: Answer
    created: str | None = None


CarryOut = Callable[[Store, SandboxConfig, Parameters], Done]


def _ok(fields: dict[str, Any], created: str | None = None) -> Done:
    return Done(Answer(200, orjson.dumps({**_OK, **fields})), created)


def _find_group(channel: Channel, store: Store, parameters: Parameters) -> Group:
    group_id = check_id(parameters, SPELLING[channel].group)
    group = store.groups[channel].get(group_id)
    if group is None:
        raise RefusedError((GROUP_NOT_FOUND, "Group ID not found"))
    return group


def _list_groups(channel: Channel, store: Store, _settings: SandboxConfig, _parameters: Parameters) -> Done:
    groups = tuple(store.groups[channel].values())
    return Done(listing({**_OK, "amount_of_groups": len(groups)}, "group", group_rows(groups), len(groups)))


def _list_contacts(channel: Channel, store: Store, settings: SandboxConfig, parameters: Parameters) -> Done:
    require(parameters, SPELLING[channel].group)
    group = _find_group(channel, store, parameters)
    head = {
        **_OK,
        "group_id": group.group_id,
        "group_name": group.name,
        "amount_of_contacts": str(group.size()),
    }
    rows = contact_rows(group, channel, with_email=settings.email_listing)
    return Done(listing(head, "contact", rows, group.size()))


def _create_group(channel: Channel, store: Store, _settings: SandboxConfig, parameters: Parameters) -> Done:
    # The document requires group_name and lists no error for its absence; 200 is the code of every other one.
    require(parameters, "group_name")
    group_id = store.add_group(channel, text(parameters, "group_name")).group_id
    named = (
        {"groupid": int(group_id.removeprefix("gro_"))} if channel is Channel.SMS else {"group_id": group_id}
    )
    return _ok({"result": "saved_successfully", **named}, created=group_id)


def _add_contact(channel: Channel, store: Store, _settings: SandboxConfig, parameters: Parameters) -> Done:
    address = SPELLING[channel].address
    require(parameters, address, SPELLING[channel].group)
    group = _find_group(channel, store, parameters)
    checked = check_phone(parameters) if channel is Channel.SMS else check_email(parameters)
    birthday = check_birthday(parameters)
    contact = Contact(
        contact_id=store.next_contact_id(),
        first_name=text(parameters, "first_name"),
        last_name=text(parameters, "last_name"),
        birthday=birthday,
        custom={
            name: text(parameters, name) for name in SPELLING[channel].custom.values() if name in parameters
        },
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


def _verify_webhook(store: Store, settings: SandboxConfig, parameters: Parameters) -> Done:
    require(parameters, "webhook")
    webhook_id = text(parameters, "webhook")
    webhook = store.webhooks.get(webhook_id)
    if webhook is None:
        raise RefusedError((WEBHOOK_NOT_FOUND, "Webhook not found"))
    old = settings.old_webhook_answer or webhook_id in store.old_answers
    return _ok(verification_answer(webhook, old=old))


_OF_A_CHANNEL: Final[Mapping[Operation, Callable[[Channel, Store, SandboxConfig, Parameters], Done]]] = {
    "list_groups": _list_groups,
    "list_contacts": _list_contacts,
    "create_group": _create_group,
    "add_contact": _add_contact,
}
_OF_THE_ACCOUNT: Final[Mapping[Operation, CarryOut]] = {"verify_webhook": _verify_webhook}


def carry_out_of(endpoint: Endpoint) -> CarryOut:
    """Return the function that carries an endpoint's calls out.

    Raises:
        LookupError: there is none; the message says where to add it.
    """
    try:
        if endpoint.channel is None:
            return _OF_THE_ACCOUNT[endpoint.operation]
        return partial(_OF_A_CHANNEL[endpoint.operation], endpoint.channel)
    except KeyError:
        raise LookupError(
            f"the client calls {endpoint.name} ({endpoint.operation}), which the sandbox does not serve: "
            "add it to sandbox/operations.py"
        ) from None
