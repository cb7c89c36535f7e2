"""Batches: how far they have come, their failed rows as a file, and how to cancel one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import structlog
from starlette.responses import Response, StreamingResponse

from config.names import QUEUES
from workers.batches import Batch, read_batch, read_batches
from workers.broker import DeadLetters
from workers.cancelling import cancel_batch
from workers.imports import FailedFile
from workers.web.page import Action, Page, Refused, Visit

__all__ = ["PAGE"]

log = structlog.get_logger("workers.web")

#: Batches on one page, and how many there can be: as many as are kept.
ON_A_PAGE: Final = 50
MOST: Final = 10_000
#: The longest id, in characters.
LONGEST: Final = 255
_PIECE: Final = 64 * 1024


def _list(visit: Visit) -> Response:
    first = int(asked) if (asked := visit.asked("first")).isdecimal() and len(asked) < 6 else 0
    first = min(first, MOST)
    found = list(read_batches(visit.desk.client, visit.desk.keys(), first=first, most=ON_A_PAGE + 1))
    return visit.page(
        "batches.html",
        batches=found[:ON_A_PAGE],
        before=max(0, first - ON_A_PAGE) if first else None,
        after=first + ON_A_PAGE if len(found) > ON_A_PAGE else None,
    )


def _one(visit: Visit) -> Response:
    return visit.page("batch.html", batch=_batch(visit))


def _failed(visit: Visit) -> Response:
    batch = _batch(visit)
    letters = DeadLetters(visit.desk.client, visit.desk.keys(), QUEUES)
    with tempfile.TemporaryDirectory(prefix="coupontools-") as folder:
        with FailedFile(Path(folder, "failed.csv")) as out:
            for letter, body in letters.of_batch(batch.batch_id):
                out.add(letter, body)
        if not out.rows:
            return visit.go("/batch", "This batch has no dead letters of contacts.", id=batch.batch_id)
        # Open it before its folder is removed: nothing of it stays on the disk, even if this process is killed.
        file = Path(folder, "failed.csv").open("rb")  # noqa: SIM115 - closed by _pieces
    log.warning("web.acted", action="download", batch_id=batch.batch_id, rows=out.rows)
    name = "".join(c for c in batch.batch_id[:60] if c.isascii() and (c.isalnum() or c in "-_")) or "batch"
    headers = {"Content-Disposition": f'attachment; filename="{name}.failed.csv"'}
    return StreamingResponse(_pieces(file), media_type="text/csv; charset=utf-8", headers=headers)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


def _cancel(visit: Visit) -> Response:
    batch = _batch(visit)
    cancel_batch(visit.desk.client, visit.desk.settings, batch.batch_id)
    log.info("web.acted", action="cancel", batch_id=batch.batch_id)
    said = "The batch is cancelled: no new call is made for its jobs, and they are answered one by one."
    return visit.go("/batch", said, id=batch.batch_id)


def _batch(visit: Visit) -> Batch:
    """Return the batch that an address or a form names."""
    batch_id, found = visit.named("id"), None
    if 0 < len(batch_id) <= LONGEST:
        found = read_batch(visit.desk.client, visit.desk.keys(), batch_id)
    if found is None:
        raise Refused(404, "there is no such batch (any more)")
    return found


PAGE: Final = Page(
    "Batches",
    "/batches",
    {
        "/batches": {"GET": Action(_list)},
        "/batch": {"GET": Action(_one)},
        "/batch/failed": {"GET": Action(_failed, slow=True)},
        "/batch/cancel": {"POST": Action(_cancel)},
    },
)
