"""How a moment is written for others to read, and which number is no moment in milliseconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

__all__ = ["EARLIEST_MS", "rfc3339"]

#: A moment in Unix milliseconds that is before this one (1973) was given in seconds.
EARLIEST_MS: Final = 100_000_000_000


def rfc3339(milliseconds: float | None = None) -> str:
    """Return a moment in Unix milliseconds, or now, as RFC 3339 in UTC.

    Raises:
        ValueError, OverflowError, OSError: there is no such moment.
    """
    seconds = time.time() if milliseconds is None else milliseconds / 1000
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
