"""The rows of the listings, and sending listings too long to hold in one piece.

The vendor's document pages nothing: half a million contacts come as one answer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import orjson

from coupontools import Channel
from sandbox.store import Contact, Group

_ROWS_A_PART: Final = 1000

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Rows:
    """The array a listing ends with: its field, how many rows, and a function that makes them."""

    field: str
    count: int
    make: Callable[[], Iterator[Row]]


def group_rows(groups: dict[str, Group]) -> Rows:
    """The `group` array of `grouplist` (vendor's document, 'List groups')."""
    listed = tuple(groups.values())
    return Rows(
        "group", len(listed), lambda: ({"ID": group.group_id, "name": group.name} for group in listed)
    )


def contact_rows(group: Group, channel: Channel, *, with_email: bool) -> Rows:
    """The `contact` array of `userlist` (vendor's document, 'List contacts').

    The document's email example shows phones, no email address, and no date of unsubscribing: so it is here,
    unless `with_email` asks for an `email` field.
    """
    make_row = _sms_row if channel is Channel.SMS else (_email_row_with_address if with_email else _email_row)
    return Rows("contact", group.size(), lambda: map(make_row, group.rows()))


def listing_body(head: dict[str, Any], rows: Rows) -> bytes | Callable[[], Iterator[bytes]]:
    """The listing as JSON: in one piece when short, else a function that makes it part by part."""
    if rows.count <= _ROWS_A_PART:
        return orjson.dumps({**head, rows.field: list(rows.make())})
    return lambda: _parts(head, rows)


def _parts(head: dict[str, Any], rows: Rows) -> Iterator[bytes]:
    yield orjson.dumps({**head, rows.field: []}).removesuffix(b"]}")
    made = rows.make()
    separator = b""
    while part := list(islice(made, _ROWS_A_PART)):
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
        row["unsubscribedate"] = contact.unsubscribed_at
    return row
