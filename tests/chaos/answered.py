"""Which messages were answered, read from the stream as it grows."""

from __future__ import annotations

import json
from typing import Any

from tests.harness import House


class Answered:
    """Reads each event once, so that a long run may ask often."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._read_to = "-"
        self._ids: set[str] = set()

    def holds(self, message_ids: set[str]) -> bool:
        """Return whether each of these messages has an answer."""
        entries: Any = self._house.redis.xrange("coupontools:events", min=self._read_to)
        for entry, fields in entries:
            self._read_to = f"({entry.decode()}"
            self._ids.add(json.loads(fields[b"event"])["id"].split("/")[0])
        return message_ids <= self._ids
