"""Whether an answer is certainly about something else than was asked for: a left-over one, or from a mixed-up cache.

What the answer leaves out, hides in part or writes so that it cannot be compared, is not certain: it may be ours.
"""

import re

from coupontools.comparable import (
    comparable_address,
    comparable_name,
    comparable_number,
    unescaped,
    without_separators,
)

_COUNTRY_DIGITS = 3
_HIDDEN_DIGITS = re.compile(r"[^0-9]+")
_HIDDEN_LETTERS = re.compile(r"[*\u2022\u2026]+")


def is_another_number(told: str, sent: str) -> bool:
    """Return whether a number that was told, whole, national or masked, cannot be the one sent (E.164)."""
    digits = comparable_number(sent)
    if digits is None:
        return False
    first, *others = _HIDDEN_DIGITS.split(without_separators(told).lstrip("+"))
    beginning = first.lstrip("0")
    if others:
        # A national number begins after the country code.
        begins_alike = beginning in digits[: len(beginning) + (_COUNTRY_DIGITS if first != beginning else 0)]
        return not (begins_alike and digits.endswith(others[-1]))
    return not digits.endswith(comparable_number(told) or beginning)


def is_another_address(told: str, sent: str) -> bool:
    """Return whether an email address that was told, whole or masked, cannot be the one sent."""
    beginning, *others = _HIDDEN_LETTERS.split(unescaped(told).lower())
    address, ours = comparable_address(told), comparable_address(sent)
    if others:
        plain = unescaped(sent).lower()
        return not (plain.startswith(beginning) and plain.endswith(others[-1]))
    return address is not None and ours is not None and address != ours


def is_another_name(told: str, sent: str) -> bool:
    """Return whether a name that was told, in whatever case or escaping, perhaps cut, cannot be the one sent."""
    return not comparable_name(sent).casefold().startswith(comparable_name(told).casefold())
