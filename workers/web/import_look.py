"""One look at an import, rendered as the live parts of its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis

from workers.batches import Batch, read_batch
from workers.imports import duration
from workers.redis_link import trouble_of
from workers.web.desk import Desk
from workers.web.import_run import FAILED, REFUSED, Run
from workers.web.import_shelf import Record

__all__ = ["PARTS", "ImportLook", "groups_part"]

#: The parts for everybody who may see the import, and those with people's data, for its owner.
COUNTED = ("progress",)
OWN = ("rows", "files", "groups")
PARTS = (*COUNTED, *OWN)


@dataclass(frozen=True, slots=True)
class ImportLook:
    """Looks at one import, for its owner or for others who may see how far it is."""

    desk: Desk
    name: str
    own: bool

    def __call__(self) -> dict[str, str]:
        """Return each part."""
        record = self.desk.workshop.shelf.get(self.name)
        if record is None:
            gone = self.desk.templates.part("import_parts.html", "gone")
            return {name: gone if name == "progress" else "" for name in self._names}
        run = self.desk.workshop.run_of(record)
        batch, away = self._batch(record)
        told = {"record": record, "run": run, "batch": batch, "away": away, "left": _left(record, run, batch)}
        return {name: self._part(name, record, told) for name in self._names}

    @property
    def _names(self) -> tuple[str, ...]:
        return PARTS if self.own else COUNTED

    def _part(self, name: str, record: Record, told: dict[str, Any]) -> str:
        if name == "groups":
            return groups_part(self.desk, record) if record.state == "draft" else ""
        if name == "files":
            told = {
                "record": record,
                "there": [kind for kind in (REFUSED, FAILED) if self.desk.workshop.shelf.path(record, kind).exists()],
            }  # fmt: skip
        if name == "rows":
            told = {"run": told["run"]}
        return self.desk.templates.part("import_parts.html", name, **told)

    def _batch(self, record: Record) -> tuple[Batch | None, str]:
        if record.state == "draft":
            return None, ""
        try:
            return read_batch(self.desk.client, self.desk.keys(), record.id), ""
        except redis.RedisError as error:
            return None, trouble_of(error)


def groups_part(desk: Desk, record: Record) -> str:
    """Return the part with the groups to choose from, or with why there are none."""
    return desk.templates.part(
        "import_parts.html",
        "groups",
        listing=desk.workshop.listing_of(record.channel),
        chosen=record.chosen.get("listed", ""),
    )


def _left(record: Record, run: Run | None, batch: Batch | None) -> str:
    """Return how long it still takes, in words; empty if that is not known."""
    if run is not None and not (run.ended or run.followed or run.waits):
        if not run.position or not run.size:
            return ""
        return duration(max(0.0, run.tally.seconds * (run.size / run.position - 1)))
    if record.state == "running" and batch is not None and batch.left_seconds is not None:
        return duration(batch.left_seconds)
    return ""
