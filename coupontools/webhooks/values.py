"""How the vendor writes single values, and what they are in Python.

The vendor promises nothing but strings in webhooks: flags are "0" and "1", moments are UTC without a zone, ""
stands for no date (vendor's document, 'Webhooks'). Every reader answers None for what it cannot read and
never raises, whatever it is given: a forged or future body must not stop the worker.
"""

import re
from datetime import UTC, date, datetime

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_INTEGER_BITS = 64
_FLAGS: dict[str | int, bool] = {"0": False, "1": True, 0: False, 1: True}


def read_text(value: object) -> str | None:
    """A string as it stands, also an empty one; None for anything else."""
    return value if isinstance(value, str) else None


def read_flag(value: object) -> bool | None:
    """Read "1" and "0" (also as a number or a JSON boolean); None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (str, int)):
        return _FLAGS.get(value)
    return None


def read_integer(value: object) -> int | None:
    """Read a whole number within 64 bits, written as a number or as digits; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value.bit_length() < _INTEGER_BITS else None
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    return None


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


def read_day(value: object) -> date | None:
    """Read "1980-01-01" (a birthday) as a date; None for "" and what is no such day."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def read_mapping(value: object) -> dict[str, object] | None:
    """A JSON object as it stands; None for anything else."""
    return value if isinstance(value, dict) else None


def plain(value: object) -> str | None:
    """The form in which values are compared: strings as they are, numbers and booleans as JSON writes them.

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
    if isinstance(value, float):
        return repr(value)
    return None
