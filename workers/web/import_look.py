"""One look at an import, rendered as the live parts of its page."""

from __future__ import annotations

from typing import Final

import redis

from workers.batches import Batch, read_batch
from workers.imports import duration
from workers.redis_link import trouble_of
from workers.web.desk import Desk
from workers.web.import_run import Run
from workers.web.import_shelf import Record

__all__ = ["look_at_import"]

#: The parts for everybody who may see the import, and all parts, with people's data, for its owner.
COUNTED: Final = ("progress",)
PARTS: Final = (*COUNTED, "rows", "files", "groups")


def look_at_import(desk: Desk, import_id: str, *, own: bool) -> dict[str, str]:
    """Look at one import, for its owner or for others who may see how far it is; return each part."""
    names = PARTS if own else COUNTED
    shelf = desk.workshop.shelf
    record = shelf.get(import_id)
    if record is None:
        gone = desk.templates.part("import_parts.html", "gone")
        return {name: gone if name == "progress" else "" for name in names}
    run = desk.workshop.run_of(record)
    batch, away = _batch(desk, record)
    told = {
        "record": record,
        "run": run,
        "batch": batch,
        "away": away,
        "left": _left(record, run, batch),
        "there": desk.workshop.files_of(record),
        "listing": desk.workshop.listing_of(record.channel),
    }
    return {name: desk.templates.part("import_parts.html", name, **told) for name in names}


def _batch(desk: Desk, record: Record) -> tuple[Batch | None, str]:
    """Return the counts of its jobs, or why they are not known."""
    if record.state == "draft":
        return None, ""
    try:
        return read_batch(desk.client, desk.keys(), record.id), ""
    except redis.RedisError as error:
        return None, trouble_of(error)


def _left(record: Record, run: Run | None, batch: Batch | None) -> str:
    """Return how long it still takes, in words; empty if that is not known."""
    if run is not None and not (run.ended or run.followed or run.waits):
        if not run.position or not run.size:
            return ""
        return duration(max(0.0, run.tally.seconds * (run.size / run.position - 1)))
    if record.state == "running" and batch is not None and batch.left_seconds is not None:
        return duration(batch.left_seconds)
    return ""
