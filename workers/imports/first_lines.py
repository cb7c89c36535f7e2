"""The first line of each number or address in a file, so that nobody is imported twice from one file."""

from __future__ import annotations

from array import array
from hashlib import blake2b
from struct import unpack
from typing import Final

__all__ = ["FirstLines"]

#: A slot is three numbers: both halves of a person's digest, and the line. A line of 0 marks a free slot, since lines count from 1.
SLOT: Final = 3
SLOTS_AT_FIRST: Final = 1024


class FirstLines:
    """A hash table of digests and line numbers, 24 bytes a slot and at most two thirds full.

    A million people take 48 MiB, and 72 while the table grows; a dict of Python objects would take twice as much.
    """

    def __init__(self) -> None:
        self._people = 0
        self._slots = _free(SLOTS_AT_FIRST * SLOT)

    def note(self, person: str, line: int) -> int | None:
        """Return the line with which this person was noted before. Note a new person, and return None."""
        digest = _digest(person)
        at = self._place_of(*digest)
        if before := self._slots[at + 2]:
            return before
        self._slots[at : at + SLOT] = array("Q", (*digest, line))
        self._people += 1
        if self._people * SLOT * 3 > len(self._slots) * 2:
            self._grow()
        return None

    def line_of(self, person: str) -> int | None:
        """Return the line with which a person was noted; None if the person was not."""
        return self._slots[self._place_of(*_digest(person)) + 2] or None

    def _place_of(self, first: int, second: int) -> int:
        """Return where the slot that holds the digest begins, or else the free one where it belongs."""
        slots = self._slots
        at = first * SLOT % len(slots)
        while slots[at + 2] and (slots[at], slots[at + 1]) != (first, second):
            at = (at + SLOT) % len(slots)
        return at

    def _grow(self) -> None:
        old, self._slots = self._slots, _free(2 * len(self._slots))
        for at in range(0, len(old), SLOT):
            if old[at + 2]:
                place = self._place_of(old[at], old[at + 1])
                self._slots[place : place + SLOT] = old[at : at + SLOT]


def _free(numbers: int) -> array[int]:
    return array("Q", (0,)) * numbers


def _digest(person: str) -> tuple[int, int]:
    first, second = unpack("QQ", blake2b(person.encode(), digest_size=16).digest())
    return first, second
