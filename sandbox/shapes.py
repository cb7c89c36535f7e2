"""The forms in which the API may write an answer, beside that of the vendor's examples: one function for each.

A shape changes the document of an answer. Rows are the entries of a listing; an answer without a list is its own
only row.
"""

import html
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote_plus

import orjson

Document = dict[str, Any]

_LISTS: Final = ("contact", "group")
_NAMES: Final = ("name", "group_name", "first_name", "last_name")
_IDS: Final = ("ID", "contact_id", "group_id", "groupid")
_AMOUNTS: Final = ("amount_of_contacts", "amount_of_groups")
_CUT_TO: Final = 8
# JSON cannot hold these bytes, so a character for private use stands for each until the document is written.
_FORBIDDEN: Final = {"\ue00b": b"\x0b", "\ue0eb": b"\xeb"}
_BEFORE: Final = {
    "notice": b"<br />\n<b>Warning</b>:  Undefined index: x in <b>/var/www/api.php</b> on line <b>12</b><br />\n",
    "marks": b"\xef\xbb\xbf\r\n\xef\xbb\xbf",
}


def _rows(document: Document) -> list[Document]:
    rows = next((document[name] for name in _LISTS if name in document), [document])
    if isinstance(rows, dict):
        rows = [rows, *rows.values()]
    return [row for row in rows or () if isinstance(row, dict)]


def _each(fields: Iterable[str], change: Callable[[str], object]) -> Callable[[Document], None]:
    """Return a shape that changes these fields of every row, and of the document itself."""

    def apply(document: Document) -> None:
        for row in (document, *_rows(document)):
            for name in fields:
                if name in row:
                    row[name] = change(str(row[name]))

    return apply


def _first(name: str, value: object) -> Callable[[Document], None]:
    """Return a shape that changes a field of the first row."""

    def apply(document: Document) -> None:
        for row in _rows(document)[:1]:
            if name in row:
                row[name] = value

    return apply


def _list(change: Callable[[list[Document]], object]) -> Callable[[Document], None]:
    """Return a shape that replaces the list of a listing."""

    def apply(document: Document) -> None:
        for name in _LISTS:
            if isinstance(document.get(name), list):
                document[name] = change(document[name])

    return apply


def _mask(address: str) -> str:
    name, at, domain = address.partition("@")
    return f"{name[:1]}***@{domain}" if at else f"{name[:2]}*****{name[-3:]}"


def _punycode(address: str) -> str:
    name, at, domain = address.partition("@")
    labels = (
        label if label.isascii() else f"xn--{label.encode('punycode').decode()}"
        for label in domain.split(".")
    )
    return f"{name}{at}{'.'.join(labels)}"


def _without_address(document: Document) -> None:
    for row in _rows(document):
        row.pop("phone", None)
        row.pop("email", None)


def _under_data(document: Document) -> None:
    fields = {name: document.pop(name) for name in list(document) if name != "status"}
    document["data"] = fields


def _verification(instead: Callable[[Document], Document]) -> Callable[[Document], None]:
    """Return a shape that puts something else in place of a webhook's record, under a status that is OK."""

    def apply(document: Document) -> None:
        if "webhook" in document:
            fields = {name: document.pop(name) for name in list(document) if name != "status"}
            document.update(instead(fields))

    return apply


def _as_it_is(_: Document) -> None:
    """Change nothing: the bytes that the shape adds go before the document."""


SHAPES: Final[Mapping[str, Callable[[Document], None]]] = {
    "masked": _each(("phone", "email"), _mask),
    "national": _each(("phone",), lambda phone: f"0{phone[2:]}"),
    "double_zero": _each(("phone",), lambda phone: f"00{phone}"),
    "largest_number": _each(("phone",), lambda phone: 2**31 - 1 if phone else phone),
    "wrapped_numbers": _each(
        ("phone",), lambda phone: str(int(phone) % 2**32) if phone.isdecimal() else phone
    ),
    "float_numbers": _each(("phone",), lambda phone: float(phone) if phone.isdecimal() else phone),
    "no_address": _without_address,
    "escaped_addresses": _each(("email",), html.escape),
    "ascii_addresses": _each(("email",), _punycode),
    "null_names": _each(_NAMES, lambda _: None),
    "url_names": _each(_NAMES, quote_plus),
    "counted_names": _each(_NAMES, lambda name: f"{name} (2)"),
    "cut_names": _each(_NAMES, lambda name: name[:_CUT_TO]),
    "upper_names": _each(_NAMES, str.upper),
    "slashed_names": _each(_NAMES, lambda name: name.replace("'", r"\'").replace('"', r"\"")),
    "escaped_names": _each(_NAMES, html.escape),
    "twice_escaped_names": _each(_NAMES, lambda name: html.escape(html.escape(name))),
    "other_group": _each(("group_id",), lambda _: "gro_999999999"),
    "other_webhook": _each(("webhook",), lambda _: "evt_99999999999999999999"),
    "error_beside_ok": _verification(lambda _: {"error": "Webhook not found"}),
    "message_alone": _verification(lambda _: {"message": "no result"}),
    "empty_record": _verification(lambda fields: dict.fromkeys(fields, "")),
    "odd_ids": _each(_IDS, lambda told: f"odd_{told.rpartition('_')[2]}"),
    "repeated_row": _list(lambda rows: [*rows[:-1], *rows[:1]]),
    "missing_row": _list(lambda rows: rows[:-1]),
    "null_id": _first("ID", None),
    "text_row": _list(lambda rows: ["text", *rows[1:]]),
    "control_byte": _first("first_name", "Zoe\ue00b"),
    "latin1_byte": _first("first_name", "Zo\ue0eb"),
    "numbered_rows": _list(lambda rows: {str(number): row for number, row in enumerate(rows, 1)}),
    "bare_row": _list(lambda rows: rows[0] if len(rows) == 1 else rows),
    "empty_text": _list(lambda rows: rows or ""),
    "empty_null": _list(lambda rows: rows or None),
    "amount_with_commas": _each(_AMOUNTS, lambda amount: f"{int(amount):,}"),
    "amount_in_words": _each(_AMOUNTS, lambda _: "many"),
    "larger_amount": _each(_AMOUNTS, lambda amount: int(amount) + 1),
    "next_page": lambda document: document.update({"page": 1, "next_page": 2}),
    "under_data": _under_data,
    **dict.fromkeys(_BEFORE, _as_it_is),
}


def shaped(body: bytes, shapes: Iterable[str]) -> bytes:
    """Return the body of an answer in these shapes, one applied after the other."""
    document, shapes = orjson.loads(body), list(shapes)
    for shape in shapes:
        SHAPES[shape](document)
    written = orjson.dumps(document)
    for character, forbidden in _FORBIDDEN.items():
        written = written.replace(character.encode(), forbidden)
    return b"".join(_BEFORE[shape] for shape in _BEFORE if shape in shapes) + written
