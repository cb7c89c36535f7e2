"""Error messages that say what would be right; Pydantic's own speak of its types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["in_plain_words", "no_such"]

#: By the type of Pydantic's error: https://docs.pydantic.dev/latest/errors/validation_errors/
_WORDS: Final = {
    "missing": "is required",
    "string_type": "must be a text",
    "string_unicode": "must be valid text; bytes of it are not UTF-8",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be an object",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "must be at most {max_length} characters long",
    "too_long": "must be at most {max_length} characters long",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


def in_plain_words(entry: Mapping[str, Any]) -> str:
    """Return what is wrong, from one entry of a Pydantic error."""
    words = _WORDS.get(str(entry["type"]))
    if words is None:
        text = str(entry["msg"]).removeprefix("Input ")
        return text[:1].lower() + text[1:]
    return words.format(**entry.get("ctx", {}))


def no_such(what: str, given: str, known: Iterable[str]) -> str:
    """Return a message that there is no ``what`` of the given name, and which names there are; a very long name is cut."""
    return f"there is no {what} {given[:100]!r}; known are {', '.join(known)}"
