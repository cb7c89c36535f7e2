"""The rows of the listings, and sending listings too long to hold in one piece.

The vendor's document pages nothing: half a million contacts come as one answer.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import orjson

from coupontools import Channel
from sandbox.answers import Answer
from sandbox.store import Contact, Group

_ROWS_A_PART: Final = 1000

Row = dict[str, str]


def group_rows(groups: tuple[Group, ...]) -> Iterator[Row]:
    """Return the `group` array of `grouplist` (vendor's document, 'List groups')."""
    return ({"ID": group.group_id, "name": group.name} for group in groups)


def contact_rows(group: Group, channel: Channel, *, with_email: bool) -> Iterator[Row]:
    """Return the `contact` array of `userlist` (vendor's document, 'List contacts').

    The document's email example shows phones, no email address, and no date of unsubscribing. The sandbox does
    the same, unless `with_email` asks for an `email` field.
    """
    make_row = _sms_row if channel is Channel.SMS else (_email_row_with_address if with_email else _email_row)
    return map(make_row, group.rows())


def listing(head: dict[str, Any], array: str, rows: Iterator[Row], count: int) -> Answer:
    """Return a listing that ends with an array of `count` rows; a long one is made part by part."""
    if count <= _ROWS_A_PART:
        return Answer(200, orjson.dumps({**head, array: list(rows)}))
    return Answer(200, _parts(orjson.dumps({**head, array: []}).removesuffix(b"]}"), rows))


def _parts(begin: bytes, rows: Iterator[Row]) -> Iterator[bytes]:
    yield begin
    separator = b""
    while part := list(islice(rows, _ROWS_A_PART)):
        yield separator + orjson.dumps(part)[1:-1]
        separator = b","
    yield b"]}"


def _email_row(contact: Contact) -> Row:
    return {
        "ID": contact.contact_id,
        "phone": contact.phone,
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "unsubscribed": "1" if contact.unsubscribed else "0",
    }


def _email_row_with_address(contact: Contact) -> Row:
    return {**_email_row(contact), "email": contact.email}


def _sms_row(contact: Contact) -> Row:
    row = _email_row(contact)
    if contact.unsubscribed:
        row["unsubscribedate"] = contact.unsubscribedate
    return row
