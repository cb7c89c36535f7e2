"""The first line of each number or address in a file, so that nobody is imported twice from one file."""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import Final

__all__ = ["FirstLines"]

DIGEST_BYTES: Final = 16
SLOTS_AT_FIRST: Final = 1024


class FirstLines:
    """A hash table of digests and line numbers, 24 bytes a slot and at most two thirds full.

    A million people take 48 MiB, and 72 while the table grows; a dict of Python objects would take twice as much.
    """

    def __init__(self) -> None:
        self._people = 0
        self._make_slots(SLOTS_AT_FIRST)

    def note(self, person: str, line: int) -> int | None:
        """Return the line with which this person was noted before. Note a new person, and return None."""
        digest = blake2b(person.encode(), digest_size=DIGEST_BYTES).digest()
        slot = self._slot(digest)
        if first := self._lines[slot]:
            return first
        self._put(slot, digest, line)
        self._people += 1
        if self._people * 3 > len(self._lines) * 2:
            self._grow()
        return None

    def line_of(self, person: str) -> int | None:
        """Return the line with which a person was noted; None if the person was not."""
        digest = blake2b(person.encode(), digest_size=DIGEST_BYTES).digest()
        return self._lines[self._slot(digest)] or None

    def _make_slots(self, slots: int) -> None:
        self._digests = bytearray(DIGEST_BYTES * slots)
        # A line of 0 marks a free slot: lines count from 1.
        self._lines = array("Q", bytes(8 * slots))

    def _slot(self, digest: bytes) -> int:
        """Return the slot that holds the digest, or else the free one where it belongs."""
        slots = len(self._lines)
        slot = int.from_bytes(digest[:8]) % slots
        while self._lines[slot] and self._digest_at(self._digests, slot) != digest:
            slot = (slot + 1) % slots
        return slot

    def _put(self, slot: int, digest: bytes, line: int) -> None:
        self._digests[slot * DIGEST_BYTES : (slot + 1) * DIGEST_BYTES] = digest
        self._lines[slot] = line

    def _grow(self) -> None:
        digests, lines = self._digests, self._lines
        self._make_slots(2 * len(lines))
        for slot, line in enumerate(lines):
            if line:
                digest = self._digest_at(digests, slot)
                self._put(self._slot(digest), digest, line)

    @staticmethod
    def _digest_at(digests: bytearray, slot: int) -> bytes:
        return bytes(digests[slot * DIGEST_BYTES : (slot + 1) * DIGEST_BYTES])
