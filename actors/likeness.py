"""Which rows of a listing could be the wanted contact, although they do not show its whole number or address."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import suppress

import idna

from coupontools import (
    comparable_address,
    comparable_number,
    is_saturated,
    letters_of_address,
    mangled,
    unescaped,
)

__all__ = [
    "DoubtfulRows",
    "Shown",
    "dresses_of_address",
    "dresses_of_number",
    "shown_address",
    "shown_number",
]

#: What a row shows of a number or address: its beginning, perhaps parts of its middle, its end. Any contact with all of them may be meant.
Clue = tuple[str, ...]
#: A row's number or address in its comparable form, None if it is not shown whole; and clues to other contacts that the row may stand for.
Shown = tuple[str | None, tuple[Clue, ...]]

#: All forms of a number have the same last digits, also national ones and those with a wrong country code.
SAME_DIGITS = 8
#: The digits of the longest country code, which a national number leaves out.
COUNTRY_DIGITS = 3
#: The most rows of a listing that are remembered, by id, because they show too little.
REMEMBERED = 1000
#: The most clues that are kept. Any further one is replaced by a clue that fits every contact, so that all are in doubt.
MOST_CLUES = 10_000

_NOTHING: Shown = (None, (("", ""),))
_LONGEST_NUMBER = 15
_SHORTEST_NUMBER = 7
# Any other character hides digits, and so does a repeated separator: `32*****567`, `32xxx567`, `32....567`.
_HIDDEN_DIGITS = re.compile(r"(?:[^0-9+ \t\u00a0\u202f./()-]| {2,}|\.{2,}|-{2,})+")
_LETTER = re.compile(r"[^\W\d_xX]")
_HIDDEN_LETTERS = re.compile(r"(?:[*#?•●…\ufffd]|x{3,}|_{3,}|-{3,}|\.{2,})+")
_TAG = re.compile(r"\+[^@]*")
_NO_ADDRESS = re.compile(r'[\s<>()\[\],;:\\"]')


def shown_number(told: str | None) -> Shown:
    """Read a listed number, however it is written."""
    told = told or ""
    if is_saturated(told):
        return _NOTHING
    if number := comparable_number(told):
        # The row may also be another number: one that is shown with a wrong prefix, or cut.
        return number, (("", number[-SAME_DIGITS:]), (number, ""))
    told = unescaped(told)
    parts = [re.sub("[^0-9]", "", part) for part in _HIDDEN_DIGITS.split(told)]
    shown = "".join(parts).lstrip("0")
    if not shown or len(shown) > _LONGEST_NUMBER or _LETTER.search(told):
        return _NOTHING
    if len(parts) == 1:
        return None, (("", shown[-SAME_DIGITS:]), (shown, ""))
    clue = _without_trunk(parts)
    # A number may be followed by an extension: `32470000567 x12`.
    return None, (clue, (clue[0], "")) if len(clue[0]) >= _SHORTEST_NUMBER else (clue,)


def _without_trunk(parts: list[str]) -> Clue:
    """Leave out the zeros before a national number, or before a country code."""
    first = next(at for at, part in enumerate(parts) if part)
    return (*parts[:first], parts[first].lstrip("0"), *parts[first + 1 :])


def shown_address(told: str | None) -> Shown:
    """Read a listed address, however it is written."""
    text = unescaped(told or "").lower()
    if _NO_ADDRESS.search(text):
        return _NOTHING
    address, clue = comparable_address(text), tuple(_HIDDEN_LETTERS.split(text))
    if len(clue) > 1:
        # An address may also contain these characters, so the row may be just what it shows.
        return address, (clue,)
    return (address, ((text, ""), (_without_signs(text), ""))) if address else _NOTHING


def dresses_of_number(number: str) -> list[str]:
    """Return the digits with and without the country code, whose length nobody knows."""
    return [number[left_out:] for left_out in range(COUNTRY_DIGITS + 1)]


def dresses_of_address(address: str) -> list[str]:
    """Return the address with its domain as it is looked up, as people read it, as it may be mangled, and each without signs or tag."""
    name, at, domain = address.rpartition("@")
    dresses = [address]
    with suppress(UnicodeError):
        dresses.append(f"{name}{at}{idna.decode(domain)}")
    dresses += [form.lower() for dress in dresses for form in mangled(dress)]
    return [*dresses, *(_without_signs(dress) for dress in (*dresses, _TAG.sub("", address)))]


def _without_signs(address: str) -> str:
    # Marked, and closed: it is compared only with others of its kind, and only whole.
    return f"\0{letters_of_address(address)}\0"


class DoubtfulRows:
    """The rows that could be one of the wanted contacts.

    ``dresses`` are the forms in which each wanted contact may be shown, whole or in part. ``known`` says since when (ms) a row is known
    to be in the listing: a row that was there before a call is not that call's effect.
    """

    def __init__(self, dresses: Mapping[str, list[str]], known: Mapping[str, int]) -> None:
        self._dresses = dresses
        self._known = known
        self._sorted = sorted({dress for forms in dresses.values() for dress in forms})
        self._ends: dict[int, set[str]] = {}
        #: Lengths of beginning and end -> beginning and end -> clue -> since when its youngest row is known.
        self._clues: dict[tuple[int, int], dict[Clue, dict[Clue, float]]] = {}
        self._kept = 0
        self._old: list[str] = []
        self._new: list[str] = []

    @property
    def ids(self) -> list[str]:
        """The ids of the rows to remember; those that are remembered already come first."""
        return (self._old + self._new)[:REMEMBERED]

    def see(self, row_id: str, shown: Shown) -> None:
        """Take note of a row."""
        form, clues = shown
        since = self._known.get(row_id, math.inf)
        fitting = [clue for clue in clues if self._fits(clue)]
        for clue in fitting:
            self._keep(clue, since)
        ids = self._new if since == math.inf else self._old
        if (form is None or (fitting and form not in self._dresses)) and len(ids) < REMEMBERED:
            ids.append(row_id)

    def could_be(self, needle: str, began: int) -> bool:
        """Return whether one of the rows could be this contact, added by a call that ``began`` then (ms)."""
        return any(
            since > began and _has_middle(dress, clue)
            for dress in self._dresses[needle]
            for (first, last), clues in self._clues.items()
            for clue, since in clues.get((dress[:first], _end(dress, last)), {}).items()
        )

    def _fits(self, clue: Clue) -> bool:
        beginning, end = clue[0], clue[-1]
        if beginning:
            at = bisect_left(self._sorted, beginning)
            return at < len(self._sorted) and self._sorted[at].startswith(beginning)
        if len(end) not in self._ends:
            self._ends[len(end)] = {_end(dress, len(end)) for dress in self._sorted}
        return end in self._ends[len(end)]

    def _keep(self, clue: Clue, since: float) -> None:
        if self._kept == MOST_CLUES:
            clue, since = ("", ""), math.inf
        beginning, end = clue[0], clue[-1]
        alike = self._clues.setdefault((len(beginning), len(end)), {})
        clues = alike.setdefault((beginning, end), {})
        self._kept += clue not in clues and self._kept < MOST_CLUES
        clues[clue] = max(since, clues.get(clue, since))


def _end(text: str, length: int) -> str:
    return text[max(0, len(text) - length) :]


def _has_middle(dress: str, clue: Clue) -> bool:
    at = len(clue[0])
    for part in clue[1:-1]:
        at = dress.find(part, at) + len(part)
        if at < len(part):
            return False
    return True
