"""The idempotency key of a job that was given none: equal for the same job, however it was written down."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

__all__ = ["NEUTRAL_ARGUMENTS", "derived_digest", "given_key", "raw_key"]

#: Arguments that never make two jobs different.
NEUTRAL_ARGUMENTS = frozenset({"idempotency_key", "correlation_id", "deadline_seconds"})


def derived_digest(actor: str, arguments: Any) -> str:
    """A digest of a job's arguments that does not depend on their order."""
    text = orjson.dumps([actor, arguments], option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(text).hexdigest()[:40]


def given_key(arguments: dict[str, Any]) -> str | None:
    """The key among arguments that could not be checked, if it can be used."""
    given = arguments.get("idempotency_key")
    return given if isinstance(given, str) and 1 <= len(given) <= 255 and given.isprintable() else None


def raw_key(actor: str, arguments: dict[str, Any]) -> str:
    """A key derived from arguments that could not be checked."""
    meaning = {name: value for name, value in arguments.items() if name not in NEUTRAL_ARGUMENTS}
    try:
        digest = derived_digest(actor, meaning)
    except orjson.JSONEncodeError:
        # What reads JSON takes 1,024 levels, what writes it 254.
        plain = {name: value for name, value in meaning.items() if not isinstance(value, dict | list)}
        digest = derived_digest(actor, plain)
    return f"derived:{digest}"
