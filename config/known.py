"""The values of the job at hand: they are masked in every text of the log, whatever that text looks like.

A number or an address can be recognised by its form. A name, or the text of a custom field, can only be masked where it is known.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextvars import ContextVar
from functools import cached_property
from itertools import islice
from typing import Any, Final
from urllib.parse import quote, quote_plus

from config.personal import MASK, mask_phone

__all__ = ["know", "mask_known"]

#: Shorter values would be found in every second word.
SHORTEST: Final = 3
#: The most values of a job that are masked: a webhook's body may have ten thousand.
MOST: Final = 2000
#: How many last digits of a phone number are the same in all its forms: with its country code or without, in groups or in one piece.
LAST_DIGITS: Final = 7
_BETWEEN_DIGITS: Final = r"[ .()/\u00a0-]{0,3}"
#: Fields of a webhook's body that name no person and make a line readable.
_OF_NO_PERSON: Final = frozenset({"id", "type", "datetime"})
_NAMES: Final = frozenset({"first_name", "last_name"})

_at_hand: ContextVar[_Known | None] = ContextVar("known", default=None)


def know(arguments: Mapping[str, Any], *, public: Collection[str], names: Collection[str]) -> None:
    """Mask the values of these arguments in all lines that this task writes from now on.

    Those in ``public`` are shown. If an argument is not in ``names``, its name is masked, too: the sender made it up. This costs nothing
    until a text is written that might contain a value.
    """
    _at_hand.set(_Known(arguments, public, names))


def mask_known(text: str) -> str:
    """Return ``text`` without the values of the job at hand."""
    known = _at_hand.get()
    return text if known is None else known.mask(text)


class _Known:
    def __init__(self, arguments: Mapping[str, Any], public: Collection[str], names: Collection[str]) -> None:
        self._arguments = arguments
        self._public = public
        self._names = names

    def mask(self, text: str) -> str:
        folded = text.casefold()
        for value in self._values:
            if value.casefold() in folded:
                text = re.sub(re.escape(value), MASK, text, flags=re.IGNORECASE)
        digits = "".join(c for c in text if c.isdigit()) if self._numbers else ""
        for number in self._numbers:
            if number in digits:
                shape = rf"[+(]?(?:\d{_BETWEEN_DIGITS}){{0,8}}" + _BETWEEN_DIGITS.join(number)
                text = re.sub(shape, lambda found: mask_phone(found[0]), text)
        return text

    @cached_property
    def _values(self) -> list[str]:
        """The longest first: one may be part of another."""
        forms: set[str] = set()
        for value in islice(self._own(), MOST):
            if len(value) >= SHORTEST:
                forms.update(_forms(value))
        return sorted(forms, key=len, reverse=True)

    @cached_property
    def _numbers(self) -> list[str]:
        """The last digits of each value that may be a phone number."""
        numbers = set()
        for value in islice(self._own(), MOST):
            digits = "".join(c for c in value if c.isdigit())
            if len(digits) >= LAST_DIGITS and len(value) < 2 * len(digits):
                numbers.add(digits[-LAST_DIGITS:])
        return sorted(numbers)

    def _own(self) -> Iterator[str]:
        for name, value in self._arguments.items():
            if name not in self._names:
                yield name
            if name in self._public:
                continue
            if name == "custom_fields" and isinstance(value, Mapping):
                yield from (key for key in value if isinstance(key, str))
            for text in _texts(value):
                yield text
                if name in _NAMES:
                    yield from text.split()
                elif name == "email":
                    yield text.rpartition("@")[0]


def _texts(value: Any) -> Iterator[str]:
    """Yield every text and number in a value."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one.strip()
        elif isinstance(one, bool) or one is None:
            continue
        elif isinstance(one, int | float):
            yield str(one)
        elif isinstance(one, Mapping):
            waiting += [item for key, item in one.items() if key not in _OF_NO_PERSON]
        elif isinstance(one, list | tuple):
            waiting += one


def _forms(value: str) -> set[str]:
    """Return the value in each form that a text may contain: as it is, or escaped in one of the usual ways."""
    if value.isascii() and value.isalnum():
        return {value}
    in_json = (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    escaped = {html.escape(value), quote(value), quote_plus(value), repr(value)[1:-1], ascii(value)[1:-1]}
    return {form for form in {value, value.upper(), *in_json, *escaped} if len(form) >= SHORTEST}
