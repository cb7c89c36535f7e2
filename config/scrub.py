"""Makes any value fit for a log line: plain JSON, without secrets and personal data, and never an error."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from config.known import mask_known
from config.personal import NUMERIC_KEY, is_personal_key, mask_phone, mask_value
from config.redact import redact_text

__all__ = ["scrub", "scrub_field", "scrub_name", "scrub_text"]

_DEEPEST: Final = 8
_MOST_ITEMS: Final = 1000
# A longer line helps nobody, and holds up the event loop that writes it.
_LONGEST: Final = 65_536
# People look lines up by these ids, and many services use plain numbers for them. Here only a number with a plus is masked.
_IDENTIFIERS: Final = frozenset({"message_id", "redis_message_id", "correlation_id"})
# Fields of our own lines that hold ids and words of ours. They are not searched for the values of the job at hand: a person whose name is
# `contacts` must not mask the queue's name.
_OURS: Final = frozenset(
    {"batch_id", "error_kind", "from_worker", "idempotency_key", "job", "kind", "listing", "message_ids", "original_id", "outcome", "queue",
     "scope", "setting", "traceparent", "worker"}
)  # fmt: skip
_SHORTEST_PHONE: Final = 10**8
_LONGEST_PHONE: Final = 10**15
_LARGEST_JSON: Final = 2**63


def scrub_text(text: str, *, bare_numbers: bool = True, known: bool = True) -> str:
    """Return `text` redacted (see `redact_text`), cut to 65,536 characters, and fit for UTF-8.

    With `known`, also without the values of the job at hand.
    """
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text) - _LONGEST} more characters)"
    text = redact_text(mask_known(text) if known else text, bare_numbers=bare_numbers)
    if not text.isascii():
        # A lone surrogate (a file name that is no UTF-8) has no UTF-8 form.
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text


@lru_cache(maxsize=1024)
def scrub_name(key: str) -> str:
    """Return the name of a field, redacted. Cached, since the same few names are written again and again."""
    return scrub_text(key, known=False)


def scrub_field(key: str, value: Any, depth: int = 0) -> Any:
    """Return what is written for the field `key`: a mask if the field is personal, else `value` scrubbed."""
    if key in _IDENTIFIERS and isinstance(value, str):
        return scrub_text(value, bare_numbers=False, known=False)
    if is_personal_key(key):
        return value if value is None or isinstance(value, bool) else mask_value(key, value)
    return scrub(value, key, depth)


def scrub(value: Any, key: str = "", depth: int = 0) -> Any:
    """Return `value` as plain JSON without secrets and personal data. `key` is the field's name, if it has one."""
    # Nearly every field is a text, and this runs for each field of each line: so texts are looked for first.
    if type(value) is str:
        return scrub_text(value, known=key not in _OURS)
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return _scrub_number(value, key)
    if depth < _DEEPEST and isinstance(value, Mapping):
        return _scrub_mapping(value, depth + 1)
    if depth < _DEEPEST and isinstance(value, (list, tuple, AbstractSet)):
        return [scrub(item, key, depth + 1) for item in list(value)[:_MOST_ITEMS]]
    return scrub_text(value if isinstance(value, str) else _show(value))


def _scrub_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    scrubbed = {}
    for key, item in list(value.items())[:_MOST_ITEMS]:
        name = scrub_text(key if isinstance(key, str) else _show(key))
        scrubbed[name] = scrub_field(name, item, depth)
    return scrubbed


def _scrub_number(value: float, key: str) -> Any:
    # A phone number may have been read as a number. Times and counters are recognised by the names of their fields.
    # `value in range(...)` would compare a float with each number of the range in turn.
    if _SHORTEST_PHONE <= abs(value) < _LONGEST_PHONE and not NUMERIC_KEY.search(key):
        return mask_phone(str(int(abs(value))))
    if isinstance(value, int):
        # orjson writes no integers beyond 64 bits, and no subclasses of int.
        return int(value) if -_LARGEST_JSON <= value < _LARGEST_JSON else scrub_text(_show(value))
    return float(value)


def _show(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "backslashreplace")
    try:
        return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
    except Exception as error:
        # An object that cannot be shown must not cost the line.
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
