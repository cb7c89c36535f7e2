"""Personal fields inside text: the values in ``add_contact(phone='+32...', first_name='Ada')`` or in JSON.

A phone number can be recognised by its form. A person's name cannot: in a library's line only the name of the field
before it shows what it is. If the end of a value is unclear, the mask covers more rather than less.
"""

from __future__ import annotations

import re
from typing import Final

from config.personal import MASK, PERSONAL, mask_value

__all__ = ["mask_keyed_values"]

# `key=` in a repr; "key": in JSON or a dict, its quote escaped where JSON is inside a string; key: "..."
# where the value is quoted. `==` and prose such as `phone: is required` are no fields.
_FIELD: Final = re.compile(
    rf"(?P<key>{PERSONAL})(?:\\*[\"']\s*:|\s*=(?!=)|\s*:(?=\s*[bru]{{0,2}}\\*[\"']))\s*", re.IGNORECASE
)
_STRING: Final = re.compile(r"[bBrRuU]{0,2}(?P<quote>\\*[\"'])")
_CONTAINER: Final = re.compile(r"[\w.]*[\[({]")
# Both patterns step over a run of backslashes or blanks once. Looking at the rest of the run again from each of its
# characters took 13 s for 32 KiB.
_CONTAINER_TOKEN: Final = re.compile(r"(?<!\\)\\*+[\"']|[\[\](){}]")
_BARE: Final = re.compile(r"(?:[^\s,)}\];&]++|(?!(?>\s+)\w++=)[^\S\n]++)+")
_HARMLESS: Final = re.compile(r"(?:None|null|True|true|False|false)(?!\w)")


def mask_keyed_values(text: str) -> str:
    """Return `text` with a mask in place of the value after each personal field's name."""
    field = _FIELD.search(text)
    if field is None:
        return text
    parts: list[str] = []
    done = 0
    while field is not None:
        start = field.end()
        parts.append(text[done:start])
        end, shown = _value(text, start, field["key"])
        parts.append(shown)
        done = end
        field = _FIELD.search(text, done)
    parts.append(text[done:])
    return "".join(parts)


def _value(text: str, start: int, key: str) -> tuple[int, str]:
    """Return where the value that begins at `start` ends, and what is shown of it."""
    if string := _STRING.match(text, start):
        quote = string["quote"]
        end = _end_of_string(text, string.end(), quote)
        return end, f"{quote}{mask_value(key, text[string.end() : end].removesuffix(quote))}{quote}"
    if container := _CONTAINER.match(text, start):
        return _end_of_container(text, container.end()), MASK
    if harmless := _HARMLESS.match(text, start):
        return harmless.end(), harmless[0]
    if bare := _BARE.match(text, start):
        return bare.end(), mask_value(key, bare[0])
    return start, ""


def _end_of_string(text: str, start: int, quote: str) -> int:
    """Return the index behind the next `quote` that no further backslash escapes, or the end of the text."""
    at = text.find(quote, start)
    while at > 0 and text[at - 1] == "\\" and at > start:
        at = text.find(quote, at + len(quote))
    return len(text) if at < 0 else at + len(quote)


def _end_of_container(text: str, start: int) -> int:
    """Return the index behind the bracket that closes the one before `start`, or the end of the text."""
    depth = 1
    at = start
    while token := _CONTAINER_TOKEN.search(text, at):
        at = token.end()
        if token[0][-1] in "\"'":
            at = _end_of_string(text, at, token[0])
        elif token[0] in "[({":
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                return at
    return len(text)
