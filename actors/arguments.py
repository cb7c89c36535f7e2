"""The rule of each single argument; how arguments must fit together is in the jobs' own files."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, Literal

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from coupontools.webhooks import MAX_BYTES, MAX_DEPTH, MAX_ID, check_shape, identify

__all__ = [
    "MOST_OF_A_BATCH",
    "REPLY_NAME",
    "UNPRINTABLE",
    "BatchSize",
    "ChannelName",
    "CustomFields",
    "Email",
    "GroupId",
    "GroupName",
    "Payload",
    "PersonName",
    "Phone",
    "Printable",
    "ReplyName",
    "WebhookId",
    "WholeNumber",
    "composed",
    "whole",
]

# Check the syntax only. The library would refuse reserved domains, but the API decides whom it can reach, and the vendor's own example
# is test@test.test ("Directory page"). https://github.com/JoshData/python-email-validator#special-use-domain-names
SPECIAL_USE_DOMAIN_NAMES.clear()


_TRUNK_ZERO = re.compile(r"\([ .\-]*0[ .\-]*\)")
_BETWEEN_DIGITS = re.compile(r"[ .()\-]")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_GROUP_ID = re.compile(r"gro_[A-Za-z0-9]{1,64}")


def _phone(value: str) -> str:
    if _TRUNK_ZERO.search(value):
        # From abroad, +32 (0)470 12 34 56 is dialled without the 0; numbers of Italy and some other countries with it.
        raise ValueError(
            "must not hold '(0)': write the number as it is dialled from abroad, e.g. +32470123456"
        )
    number = _BETWEEN_DIGITS.sub("", value)
    if not _E164.fullmatch(number):
        raise ValueError("must be E.164: '+', then 7 to 15 digits, the first not 0, e.g. +32470123456")
    return number


def _email(value: str) -> str:
    try:
        checked = validate_email(value.strip(), check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise ValueError(f"must be one valid email address: {error}") from None
    if "." not in checked.domain:
        raise ValueError("must be one valid email address: the part after the @ has no dot")
    return checked.normalized


def _group_id(value: str) -> str:
    if not _GROUP_ID.fullmatch(value):
        raise ValueError("must be 'gro_' followed by 1 to 64 letters or digits, e.g. gro_119251")
    return value


def _printable(value: str) -> str:
    if not 1 <= len(value) <= 255 or not value.isprintable():
        raise ValueError("must be 1 to 255 printable characters")
    return value


def _name(value: str) -> str:
    name = value.strip()
    if not 1 <= len(name) <= 255:
        raise ValueError("must be 1 to 255 characters after trimming")
    return name


def _webhook_id(value: str) -> str:
    if identify({"id": value}) is None:
        raise ValueError("must be 'evt_' followed by 1 to 96 letters or digits")
    return value


def _trimmed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("must be valid text; bytes of it are not UTF-8")
    return value.strip()


def composed(value: Any) -> Any:
    """Return arguments with each letter and its accents as one character (NFC): some systems write the same `ë` as two characters."""
    if isinstance(value, dict):
        return {name: composed(each) for name, each in value.items()}
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


def whole(value: Any) -> Any:
    """Return a float without a fraction as an int: some languages write 300 as 300.0, and JSON Schema takes both for whole numbers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _or_none(value: Any) -> Any:
    """Treat an empty value as an absent one."""
    return value or None


def _payload(value: Any) -> Any:
    check_shape(value)
    return value


#: Unprintable characters, as far as a pattern of any language can name them: control characters, odd blanks, surrogates, private use.
UNPRINTABLE = r"\u0000-\u001f\u007f-\u00a0\u00ad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ud800-\uf8ff\ufeff\ufff9-\ufffb"


#: A part of an address before the @; dots separate the parts.
_ATOM = r'[^\s@."(),:;<>\[\]\\]+'


def _trimmed_to(most: int, least: int) -> str:
    """Return a pattern for a text of `least` (0 or 1) to `most` characters, not counting the blanks around it."""
    inner = rf"\S([\s\S]{{0,{most - 2}}}\S)?"
    return rf"^\s*({inner}){'' if least else '?'}\s*$"


def _written_as(description: str, pattern: str, example: str) -> Any:
    """Return what the published JSON Schema and the commands' help show of a rule. It enforces nothing: a validator does."""
    return Field(description=description, json_schema_extra={"pattern": pattern, "examples": [example]})


GroupId = Annotated[
    str,
    AfterValidator(_group_id),
    _written_as("The id of the group.", "^gro_[A-Za-z0-9]{1,64}$", "gro_119251"),
]
Phone = Annotated[
    str,
    AfterValidator(_phone),
    Field(
        description="The phone number in E.164, for sms. Spaces, dashes, dots and parentheses are removed first; `(0)` is refused.",
        json_schema_extra={
            "pattern": r"^[ .()\-]*\+[ .()\-]*[1-9]([ .()\-]*[0-9]){6,14}[ .()\-]*$",
            "not": {"pattern": r"\([ .\-]*0[ .\-]*\)"},
            "examples": ["+32470123456"],
        },
    ),
]
Email = Annotated[
    str,
    AfterValidator(_email),
    Field(
        description="One email address, for email. The worker checks its syntax more strictly than the schema's pattern.",
        json_schema_extra={
            "format": "email",
            "pattern": rf"^\s*{_ATOM}(\.{_ATOM})*@[^\s@.]+(\.[^\s@.]+)+\s*$",
            "examples": ["ada@example.com"],
        },
    ),
]
GroupName = Annotated[
    str,
    AfterValidator(_name),
    _written_as(
        "The new group's name: 1 to 255 characters, not counting blanks around it.",
        _trimmed_to(255, 1),
        "Pizza lovers",
    ),
]
WebhookId = Annotated[
    str,
    AfterValidator(_webhook_id),
    _written_as(
        "The webhook's id alone, if its body is not at hand.",
        "^evt_[A-Za-z0-9]{1,96}$",
        "evt_5be2a5d9d0b2c",
    ),
]
Printable = Annotated[
    str,
    AfterValidator(_printable),
    Field(
        json_schema_extra={"minLength": 1, "maxLength": 255, "pattern": f"^[^{UNPRINTABLE}]*$"},
    ),
]
PersonName = Annotated[
    str,
    BeforeValidator(_trimmed),
    Field(max_length=255),
    AfterValidator(_or_none),
    # Pydantic's own schema would count the blanks around the name.
    WithJsonSchema(
        {
            "type": "string",
            "description": "At most 255 characters, not counting blanks around it; an empty name counts as absent.",
            "pattern": _trimmed_to(255, 0),
        }
    ),
]
WholeNumber = Annotated[int, Field(gt=0), BeforeValidator(whole)]
ChannelName = Literal["sms", "email"]
CustomFields = Annotated[
    dict[str, Annotated[str, Field(max_length=1000)]],
    AfterValidator(_or_none),
    Field(
        description="Custom fields by number: 1 to 7 (sms), 1 to 10 (email); an empty object counts as absent."
    ),
]
#: What may follow `<KEY_PREFIX>:reply:`; and the most jobs that a batch may have.
REPLY_NAME = re.compile(r"[A-Za-z0-9._:-]{1,255}")
MOST_OF_A_BATCH = 10**15
BatchSize = Annotated[int, Field(gt=0, le=MOST_OF_A_BATCH), BeforeValidator(whole)]


def _reply_name(value: object) -> object:
    if isinstance(value, str) and not REPLY_NAME.fullmatch(value):
        raise ValueError("must be 1 to 255 characters of A-Z, a-z, 0-9, '.', '_', ':' and '-'")
    return value


ReplyName = Annotated[
    str,
    BeforeValidator(_reply_name),
    Field(examples=["orders:42"], json_schema_extra={"pattern": f"^{REPLY_NAME.pattern}$"}),
]
Payload = Annotated[
    dict[str, Any],
    BeforeValidator(_payload),
    WithJsonSchema(
        {
            "type": "object",
            "title": "Webhook",
            "description": f"The webhook's body as received: at most {MAX_BYTES:,} bytes of JSON, at most {MAX_DEPTH} levels deep.",
            "properties": {"id": {"type": "string", "minLength": 1, "maxLength": MAX_ID}},
            "required": ["id"],
        }
    ),
]
