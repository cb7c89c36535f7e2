"""Which fields count as personal, by their names, and what is shown in place of their values."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["MASK", "NUMERIC_KEY", "PERSONAL", "is_personal_key", "mask_email", "mask_phone", "mask_value"]

MASK: Final = "•••"
_SHORTEST_PHONE: Final = 7
_ESCAPED_PLUS: Final = re.compile(r"%2[Bb]|\\u002[Bb]")

# Personal also at the end of a longer name (`contact_phone`). `customfield1` and `custom1` are the vendor's own.
_ANYWHERE: Final = (
    r"(?:phone(?:_?number)?|e?mail_?address|email|first_?name|last_?name|custom_?fields?_?\d*|custom_?\d+)"
)
# Personal only as the whole name: `queue_name` and `actor_name` are not. Pydantic's errors quote their input as `input_value`.
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
    """Return whether a field of this name holds a person's data."""
    return _PERSONAL_KEY.fullmatch(key) is not None


def mask_phone(text: str) -> str:
    """Return ``+32•••••56`` for ``+32470123456``: enough to recognise a known number by, too little to dial it."""
    text = _ESCAPED_PLUS.sub("+", text)
    digits = "".join(c for c in text if c.isdigit())
    if len(digits) < _SHORTEST_PHONE:
        return MASK
    plus = "" if text[:1].isdigit() else "+"
    return f"{plus}{digits[:2]}•••••{digits[-2:]}"


def mask_email(text: str) -> str:
    """Return ``j•••@d•••`` for ``john@doe.com``."""
    local, at, domain = text.strip().rpartition("@")
    if not local or not at or not domain:
        return MASK
    return f"{local[0]}{MASK}@{domain[0]}{MASK}"


def mask_value(key: str, value: object) -> str:
    """Return what is shown of the value of a personal field."""
    if isinstance(value, str):
        key = key.lower()
        if "phone" in key:
            return mask_phone(value.strip())
        if "mail" in key:
            return mask_email(value)
    return MASK
