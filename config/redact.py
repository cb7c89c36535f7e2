"""Takes secrets and personal data out of any text: the log's last step before it is written.

Phone numbers and addresses are recognised by their form, names by the field they are in, secrets by their exact
value (`register_secret`). Identifiers, times, addresses with ports and counters stay as they are.
"""

from __future__ import annotations

import json
import re
from typing import Final
from urllib.parse import quote

from config.keyed_text import mask_keyed_values
from config.personal import MASK, NUMERIC_KEY, mask_email, mask_phone

__all__ = ["redact_text", "register_secret"]

# The plus as it is, full-width, or escaped in a URL or in JSON. Ten digits or more in one piece are a number;
# fewer digits may go on after a space, dash, dot or bracket. Without a plus only 9-15 digits that are no part of a
# longer word count: `gro_123456789` and `1234567890ms` are no numbers.
_WITH_PLUS: Final = (
    r"(?:[+\uff0b]|%2[Bb]|\\u002[Bb])"
    r"(?:\d{10,}|\d{7,9}(?![ .()-]{0,3}\d)|[(]?[1-9](?:[ .()-]{0,3}\d){6,14}(?!\w))"
)
_NUMBER_WITH_PLUS: Final = re.compile(_WITH_PLUS)
_NUMBER: Final = re.compile(_WITH_PLUS + r"|(?<!\w)\d{9,15}(?!\w)")
_EMAIL: Final = re.compile(
    r"(?:\"[^\"@\n]{1,64}\"|[^\s@\"()<>,;:=\[\]\\/•]{1,255}|[/=])(?:@|%40|\\u0040)"
    r"(?:\[[^\]\s]{1,255}\]|\w(?:[\w.-]{0,252}\w)?)"
)
# user:password@ in the address of a server.
_CREDENTIALS: Final = re.compile(r"(?<=://)[^\s/@]+(?:@[^\s/@]+)*@(?=[\w.\[])")

_UUID_HEAD: Final = re.compile(r"(?<!\w)[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}\Z")
_UUID_HEAD_LENGTH: Final = 24
# A Redis stream id: milliseconds (2017-2033), a dash, a sequence number.
_STREAM_ID: Final = re.compile(r"1[5-9]\d{11}-\d{1,6}(?!\w)")
_AFTER_KEY: Final = re.compile(r"(?P<key>[\w-]+)\\?[\"']?\s*[:=]\s*\Z")
_KEY_LENGTH: Final = 48

_secrets: tuple[str, ...] = ()


def register_secret(value: str) -> None:
    """Replace `value` by ``•••`` in every text from now on, also as it looks in a URL, in JSON or in a repr."""
    global _secrets  # noqa: PLW0603 - one log a process, one list of its secrets
    if not value:
        return
    forms = {value, quote(value), quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1]}
    # The longest first: one secret may be part of another.
    _secrets = tuple(sorted({*_secrets, *forms}, key=len, reverse=True))


def redact_text(text: str, *, bare_numbers: bool = True) -> str:
    """Return `text` without secrets, phone numbers, addresses, and the values of personal fields.

    Without `bare_numbers`, only what begins with a plus counts as a phone number.
    """
    for secret in _secrets:
        if secret in text:
            text = text.replace(secret, MASK)
    if "=" in text or ":" in text:
        text = mask_keyed_values(text)
    if "@" in text or "%40" in text or "\\u0040" in text:
        if "://" in text:
            text = _CREDENTIALS.sub(f"{MASK}@", text)
        text = _EMAIL.sub(_mask_email, text)
    return (_NUMBER if bare_numbers else _NUMBER_WITH_PLUS).sub(_mask_number, text)


def _mask_email(match: re.Match[str]) -> str:
    return mask_email(match[0].replace("%40", "@").replace("\\u0040", "@"))


def _mask_number(match: re.Match[str]) -> str:
    number = match[0]
    if number[0].isdigit() and _is_no_phone(match.string, match.start(), match.end()):
        return number
    return mask_phone(number)


def _is_no_phone(text: str, start: int, end: int) -> bool:
    """Return whether the bare run of digits text[start:end] is part of a uuid, decimal or stream id, or a known counter."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if before == "." and text[start - 2 : start - 1].isdigit():
        return True
    if after == "." and text[end + 1 : end + 2].isdigit():
        return True
    if before == "-" and _UUID_HEAD.search(text, max(0, start - _UUID_HEAD_LENGTH - 1), start):
        return True
    if after == "-" and _STREAM_ID.match(text, start):
        return True
    if key := _AFTER_KEY.search(text, max(0, start - _KEY_LENGTH), start):
        return NUMERIC_KEY.search(key["key"]) is not None
    return False
