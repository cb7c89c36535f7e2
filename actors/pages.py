"""The pages of a listing's answer, one event each. A long listing's pages wait on disk until they are sent, so that they fill no memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import orjson
import structlog

from coupontools import Listing, MayHaveHappened

log = structlog.get_logger("actors")

__all__ = ["PAGE_ROWS", "SpooledPages", "extent"]

#: Rows in one event.
PAGE_ROWS = 500
#: Bytes of pages held in memory before they go to a temporary file.
SPOOL_BYTES = 1024 * 1024


def extent(listing: Listing[Any]) -> dict[str, Any]:
    """Return how many rows there are by the API's own count (without one, how many it listed), and whether the listing has them all."""
    total = listing.seen if listing.amount is None else listing.amount
    return {"total": total, "complete": listing.complete}


class SpooledPages:
    """Rows gathered into pages.

    ``rows`` is the name of the rows in the event's data; ``common`` are the other fields, which all pages share.
    """

    def __init__(self, rows: str) -> None:
        self.common: dict[str, Any] = {}
        self.size = 0
        #: How many pages there are; an empty listing has one, without rows.
        self.count = 0
        self._rows = rows
        self._page: list[bytes] = []
        self._spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - closed by close()

    @classmethod
    @contextmanager
    def unless_it_fails(cls, rows: str) -> Iterator[Self]:
        """Make pages for a `with` block. If the block fails, they are closed at once; if not, their sender closes them.

        Raises:
            MayHaveHappened: there is no room for them on disk; ask again later.
        """
        pages = cls(rows)
        try:
            yield pages
            pages.finish()
        except BaseException:
            pages.close()
            raise

    def add(self, row: dict[str, Any]) -> None:
        """Add one row."""
        self._page.append(orjson.dumps(row))
        if len(self._page) == PAGE_ROWS:
            self._turn()

    def _turn(self) -> None:
        line = b"[" + b",".join(self._page) + b"]\n"
        with _room_on_disk():
            self._spool.write(line)
        self.size += len(line)
        self.count += 1
        self._page.clear()

    def finish(self) -> None:
        """Write the last page, so that a full disk is noticed before any page is sent."""
        if self._page or not self.count:
            self._turn()
        with _room_on_disk():
            self._spool.flush()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._spool.seek(0)
        for number, line in enumerate(self._spool, start=1):
            yield self.common | {
                "page": number,
                "pages": self.count,
                self._rows: orjson.loads(line),
            }

    def close(self) -> None:
        """Close the temporary file."""
        # Closing writes what is still in memory, and fails again if the disk is full.
        with suppress(OSError):
            self._spool.close()


@contextmanager
def _room_on_disk() -> Iterator[None]:
    """Raise MayHaveHappened for a full disk, so that the listing is read again later: the job itself has not failed."""
    try:
        yield
    except OSError as error:
        why = error.strerror or type(error).__name__
        log.error("listing.not_kept", error=why, setting="TMPDIR")
        raise MayHaveHappened(f"the listing cannot be kept in a temporary file: {why}") from error
