"""Reading a call's parameters, with the errors the vendor's document lists for each.

An absent, null or empty parameter is missing, and a body that is no JSON object has no parameters at all: the
document does not say, so this is the sandbox's choice.
"""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from sandbox.envelopes import (
    DATE_FORMAT,
    EMAIL_NOT_VALID,
    INVALID_CHARACTER,
    MISSING_PARAMETER,
    WRONG_VALUE,
    RefusedError,
)

Parameters = Mapping[str, Any]

_ID: Final = re.compile(r"[A-Za-z0-9_]+")
_PHONE: Final = re.compile(r"\+?[0-9]{7,15}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_parameters(body: bytes) -> Parameters:
    """Return the parameters in a request body."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def text(parameters: Parameters, name: str) -> str:
    """Return a parameter as text, "" when it is missing."""
    value = parameters.get(name)
    return "" if value is None else str(value)


def require(parameters: Parameters, *names: str) -> None:
    """Raise 200 for every one of these parameters that is missing."""
    missing = [name for name in names if not text(parameters, name).strip()]
    if missing:
        raise RefusedError(*((MISSING_PARAMETER, f"Missing parameter: {name}") for name in missing))


def check_id(parameters: Parameters, name: str) -> str:
    """Return a group id; 301 if it holds anything but letters, digits and underscores."""
    value = parameters[name]
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise RefusedError((INVALID_CHARACTER, f"Invalid character in parameter: {name}"))
    return value


def check_phone(parameters: Parameters) -> str:
    """Return the phone without its plus; 300 if it is no E.164 number (the code is the sandbox's choice)."""
    value = text(parameters, "phone").strip()
    if not _PHONE.fullmatch(value):
        raise RefusedError((WRONG_VALUE, "Wrong value in parameter: phone"))
    return value.removeprefix("+")


def check_email(parameters: Parameters) -> str:
    """Return the email address; 305 if it is none."""
    value = text(parameters, "email").strip()
    if not _EMAIL.fullmatch(value):
        raise RefusedError((EMAIL_NOT_VALID, "Email not valid"))
    return value


def check_birthday(parameters: Parameters) -> str:
    """Return the birthday or ""; 303 unless it is a date as yyyy-MM-dd."""
    value = text(parameters, "birthday")
    try:
        # fromisoformat alone also reads 19800131.
        if value and not (_DATE.fullmatch(value) and dt.date.fromisoformat(value)):
            raise ValueError(value)
    except ValueError:
        raise RefusedError((DATE_FORMAT, "incorrect format in birthday field, must be yyyy-MM-dd")) from None
    return value
