"""The vendor's documents and our models: every quirk of the API's parameters and answers is settled here.

Source, unless another is given: the vendor's document, 'List groups', 'List contacts', 'Create group' and
'Add contact' of the message and email services.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

from coupontools.comparable import is_another_address, is_another_number
from coupontools.endpoints import SPELLING, Operation
from coupontools.models import Channel, Contact, Group, NewContact
from coupontools.spellings import is_another_name

Document = Mapping[str, Any]
T = TypeVar("T")


class UnreadableError(ValueError):
    """The answer lacks something it must hold, or is another call's; the text says which, and repeats nothing of the answer."""


class AboutAnotherError(UnreadableError):
    """The answer names another group, number, address or name than was asked for."""


# strptime would take more time than reading all other fields of a listed contact.
_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}) ([0-9]{1,2}):([0-9]{2}) UTC")
_E164 = re.compile(r"[1-9][0-9]{6,14}")
# Fields of answers to other calls: such an answer was left over on the connection.
_OF_CONTACTS = frozenset({"contact_id", "contact", "phone", "email", "webhook"})
_OF_GROUPS = frozenset({"contact_id", "groupid", "contact", "group"})
_TAIL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUMBER = re.compile(r"(?!0+$)[0-9]{1,64}")
_ZERO = re.compile("0+")
# Dots separate no thousands here: "1.234" may be a thousand or one.
_AMOUNT = re.compile(r"([0-9]{1,15}|[0-9]{1,3}(?:[,'\u2019 \u00a0\u202f][0-9]{3}){1,4})(?:\.00?)?")
# A longer whole number may have lost digits when it was a float.
_EXACT_DIGITS = 15


def unwrapped(answer: Document) -> Document:
    """Return an answer with its fields beside the status, if it has all of them in an object `data`; any other answer as it is."""
    data = answer.get("data")
    if isinstance(data, dict) and answer.keys() <= {"status", "data", "result", "message"}:
        return {**data, **{name: value for name, value in answer.items() if name != "data"}}
    return answer


def text(value: object) -> str | None:
    """Return a string trimmed, or a whole number as a string; None for a blank string and for anything else."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def digits(value: object) -> object:
    """Return a whole number that PHP wrote as a float (`119251.0`) as text; any other value as it is.

    A float that is no whole number, and one that may have lost digits (`3.247E+10`), is returned as JSON writes it.
    """
    if isinstance(value, float):
        value = Decimal(repr(value))
    if not isinstance(value, Decimal):
        return value
    _, written, exponent = value.normalize().as_tuple()
    told = value.as_tuple().exponent
    whole = isinstance(exponent, int) and exponent >= 0 and isinstance(told, int) and told <= 0
    return f"{value:.0f}" if whole and len(written) + int(exponent) <= _EXACT_DIGITS else str(value)


def identifier(prefix: str, value: object) -> str | None:
    """Return an id with its prefix: `119251`, `"119251"` and `"gro_119251"` are all `gro_119251`.

    None for anything else. A text with another prefix (`grp_5`) is no id: with our prefix it would become an id that
    the API never gave. A bare zero is no id either: it comes from an insert that failed.
    """
    told = text(digits(value))
    if told is None:
        return None
    tail = told.removeprefix(prefix)
    shape = _NUMBER if tail == told else _TAIL
    return prefix + tail if shape.fullmatch(tail) else None


def new_identifier(prefix: str, value: object) -> str | None:
    """Return the id of something that was just added, as `identifier` does; None also for a zero behind the prefix.

    PHP code that puts the prefix before the id of a failed insert answers `con_0`.
    """
    told = identifier(prefix, value)
    return None if told is None or _ZERO.fullmatch(told, len(prefix)) else told


def phone(value: object) -> str | None:
    """Return a phone number with its plus: the API takes the plus, but leaves it out of its answers.

    A number that is not E.164 (`0470123456`, `32*****567`) is returned unchanged: a plus would make it another number.
    """
    told = text(digits(value))
    number = (told or "").lstrip("+")
    return f"+{number}" if _E164.fullmatch(number) else told if number else None


def count(value: object) -> int | None:
    """Return an amount, which is a number in one listing and a string in the other, perhaps `1,234`."""
    found = _AMOUNT.fullmatch(text(digits(value)) or "")
    return int(re.sub("[^0-9]", "", found[1])) if found else None


_UNSET = {"", "0", "false", "no", "n", "off", "null", "none"}


def flag(value: object) -> bool:
    """Return whether a flag is set: it is, unless it is empty or says no (`0`, `false`, `off`, ...).

    The only flag of the API says that somebody has unsubscribed. In doubt nobody may write to them.
    """
    return value is True or (text(digits(value)) or "").lower() not in _UNSET


def moment(value: object) -> str | None:
    """Return `13/07/2018 19:47 UTC` as `2018-07-13T19:47:00Z`; None for what cannot be read."""
    found = _DATE.fullmatch(text(value) or "")
    if found is None:
        return None
    day, month, year, hour, minute = map(int, found.groups())
    try:
        read = datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    return read.isoformat().removesuffix("+00:00") + "Z"


def new_contact(channel: Channel, contact: NewContact) -> dict[str, str]:
    """Return the parameters of 'Add contact'.

    Raises:
        ValueError: the contact lacks the channel's address, or has a custom field the channel does not.
    """
    spelling = SPELLING[channel]
    address = phone(contact.phone) if channel is Channel.SMS else text(contact.email)
    if address is None:
        raise ValueError(f"a contact of the {channel} channel needs its {spelling.address}")
    parameters = {spelling.group: contact.group_id, spelling.address: address}
    if contact.first_name is not None:
        parameters["first_name"] = contact.first_name
    if contact.last_name is not None:
        parameters["last_name"] = contact.last_name
    for number, value in contact.custom_fields.items():
        if number not in spelling.custom:
            raise ValueError(f"the {channel} channel has the custom fields 1 to {len(spelling.custom)}")
        parameters[spelling.custom[number]] = value
    return parameters


def added_contact(answer: Document, sent: NewContact) -> str:
    """Return the contact id in the answer to 'Add contact'; raises UnreadableError without one, or if it is another contact's."""
    contact_id = new_identifier("con_", answer.get("contact_id"))
    if contact_id is None:
        raise UnreadableError("the answer holds no contact id")
    if is_another_group(answer.get("group_id"), sent.group_id):
        raise AboutAnotherError("the answer is about another group")
    told_phone, told_email = text(answer.get("phone")), text(answer.get("email"))
    if told_phone and sent.phone and is_another_number(told_phone, sent.phone):
        raise AboutAnotherError("the answer is about another number")
    if told_email and sent.email and is_another_address(told_email, sent.email):
        raise AboutAnotherError("the answer is about another address")
    return contact_id


def created_group(answer: Document, name: str) -> Group:
    """Read the answer to 'Create group': `groupid` of one service, `group_id` of the other.

    Raises:
        UnreadableError: it holds no group id, or is the answer to another call.
    """
    if not _OF_CONTACTS.isdisjoint(answer):
        raise UnreadableError("the answer is about something else than a new group")
    group_id = new_identifier("gro_", answer.get("groupid")) or new_identifier("gro_", answer.get("group_id"))
    if group_id is None:
        raise UnreadableError("the answer holds no group id")
    told = text(answer.get("group_name")) or text(answer.get("name"))
    if told and is_another_name(told, name):
        raise AboutAnotherError("the answer is about a group of another name")
    return Group(group_id, name)


def names_effect(operation: Operation, answer: Document) -> bool:
    """Return whether an answer has the id of a new contact or group, as this operation creates it, whatever its status says."""
    match operation:
        case "add_contact":
            return new_identifier("con_", answer.get("contact_id")) is not None
        case "create_group":
            return any(
                new_identifier("gro_", answer.get(name)) is not None for name in ("groupid", "group_id")
            )
        case _:
            return False


def is_another_group(told: object, asked: str | None) -> bool:
    """Return whether the answer names another group than the one asked for."""
    named = identifier("gro_", told)
    return named is not None and asked is not None and named != identifier("gro_", asked)


def group(fields: Document) -> Group:
    """Read one group of 'List groups'; raises UnreadableError without an id."""
    group_id = identifier("gro_", fields.get("ID"))
    if group_id is None:
        raise UnreadableError("a listed group has no id")
    return Group(group_id, text(fields.get("name")) or "")


def contact(fields: Document) -> Contact:
    """Read one contact of 'List contacts'; raises UnreadableError without an id.

    The document's email listing shows phones and no addresses; an address is read if the API sends one.
    """
    contact_id = identifier("con_", fields.get("ID"))
    if contact_id is None:
        raise UnreadableError("a listed contact has no id")
    return Contact(
        contact_id=contact_id,
        phone=phone(fields.get("phone")),
        email=text(fields.get("email")) or text(fields.get("e-mail")),
        first_name=text(fields.get("first_name")) or "",
        last_name=text(fields.get("last_name")) or "",
        unsubscribed=flag(fields.get("unsubscribed")),
        unsubscribed_at=moment(fields.get("unsubscribedate")),
    )


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """What one kind of listing holds: an array of items, the fields wanted of each, and their number."""

    array: str
    amount: str
    fields: frozenset[str]
    item: Callable[[Document], T]
    item_id: Callable[[T], str]


GROUPS = Listed("group", "amount_of_groups", frozenset({"ID", "name"}), group, lambda group: group.group_id)
CONTACTS = Listed(
    "contact",
    "amount_of_contacts",
    frozenset(
        {"ID", "phone", "email", "e-mail", "first_name", "last_name", "unsubscribed", "unsubscribedate"}
    ),
    contact,
    lambda contact: contact.contact_id,
)


def webhook_record(answer: Document, asked: str) -> dict[str, Any]:
    """Return what the answer to 'Verification' says; raises UnreadableError if it says nothing, or is about another webhook.

    The document shows the record's fields beside the status; they may also come in an object `webhook`.
    """
    fields = {name: value for name, value in answer.items() if name != "status"}
    if fields.keys() == {"webhook"} and isinstance(fields["webhook"], dict):
        fields = fields["webhook"]
    if not fields:
        raise UnreadableError("the answer says nothing about the webhook")
    named = text(fields.get("webhook"))
    if not _OF_GROUPS.isdisjoint(fields) or named not in {None, asked.strip()}:
        raise UnreadableError("the answer is about something else than this webhook")
    return fields
