"""What counts as personal: the names of the fields that hold it, and what is shown in its place."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["MASK", "NUMERIC_KEY", "PERSONAL", "is_personal_key", "mask_email", "mask_phone", "mask_value"]

MASK: Final = "•••"
_SHORTEST_PHONE: Final = 7
_ESCAPED_PLUS: Final = re.compile(r"%2[Bb]|\\u002[Bb]")

# These also with something before them (`contact_phone`); and the vendor's own `customfield1` and `custom1`.
_ANYWHERE: Final = (
    r"(?:phone(?:_?number)?|e?mail_?address|email|first_?name|last_?name|custom_?fields?_?\d*|custom_?\d+)"
)
# `input_value` is where pydantic's errors quote what they were given. Not `queue_name`, `actor_name`.
_ALONE: Final = r"(?<!\w)(?:input_value|name|payload|raw)"
PERSONAL: Final = rf"(?:{_ANYWHERE}|{_ALONE})"
_PERSONAL_KEY: Final = re.compile(rf".*{_ANYWHERE}|{_ALONE}|args|kwargs", re.IGNORECASE | re.DOTALL)

# Fields whose numbers are times, sizes and counters of ours or of a library, however long they are.
NUMERIC_KEY: Final = re.compile(
    r"(?:time|timestamp|_(?:at|bytes|count|id|ms|ns|seconds|size|us)"
    r"|(?<![a-z])(?:count|delay|eta|lineno|maxlen|pid|port|process|size|thread|total|ttl))\Z"
)


@lru_cache(maxsize=1024)
def is_personal_key(key: str) -> bool:
    """Does a field of this name hold a person's data?"""
    return _PERSONAL_KEY.fullmatch(key) is not None


def mask_phone(text: str) -> str:
    """``+32470123456`` as ``+32•••••56``: enough to recognise a number one knows, not to dial it."""
    text = _ESCAPED_PLUS.sub("+", text)
    digits = "".join(c for c in text if c.isdigit())
    if len(digits) < _SHORTEST_PHONE:
        return MASK
    plus = "" if text[:1].isdigit() else "+"
    return f"{plus}{digits[:2]}•••••{digits[-2:]}"


def mask_email(text: str) -> str:
    """``john@doe.com`` as ``j•••@d•••``."""
    local, at, domain = text.strip().rpartition("@")
    if not local or not at or not domain:
        return MASK
    return f"{local[0]}{MASK}@{domain[0]}{MASK}"


def mask_value(key: str, value: object) -> str:
    """What is shown of the value of a personal field."""
    if isinstance(value, str):
        key = key.lower()
        if "phone" in key:
            return mask_phone(value.strip())
        if "mail" in key:
            return mask_email(value)
    return MASK
