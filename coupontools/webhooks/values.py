"""How the vendor writes single values, and what they are in Python.

The vendor promises nothing but strings in webhooks: moments are UTC without a zone, "" stands for no date
(vendor's document, 'Webhooks'). Every reader returns None for what it cannot read and never raises, whatever
it is given: a forged or future body must not stop the worker.
"""

import re
from datetime import UTC, datetime

_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_INTEGER_BITS = 64


def read_text(value: object) -> str | None:
    """Return a string unchanged, also an empty one; None for anything else."""
    return value if isinstance(value, str) else None


def read_moment(value: object) -> datetime | None:
    """Read "2022-01-14 10:40:38" as an aware datetime in UTC; None for "" and what is no such moment.

    A zone, if one is ever sent (ISO 8601: "T", "Z", an offset, a fraction), is honoured; without one the
    vendor means UTC (vendor's document, 'Webhooks').
    """
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        # "0000-00-00 00:00:00", a 13th month, or an offset that leads out of the years 1 to 9999.
        return None


def plain(value: object) -> str | None:
    """Return the form in which values are compared: strings as they are, numbers and booleans as in JSON.

    None for what has no such form and so equals nothing: null, objects, lists, and whole numbers beyond 64
    bits.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Turning an int of thousands of digits into text raises ValueError (and would take quadratic time).
        return str(value) if value.bit_length() <= _INTEGER_BITS else None
    return repr(value) if isinstance(value, float) else None
