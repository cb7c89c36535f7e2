"""How far an import has come: the counts of its rows and of their answers, who shows them, and why it may stop."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Answers", "BatchCancelled", "Stopped", "Tally", "Watcher"]


@dataclass(slots=True)
class Tally:
    """What an import has done so far."""

    #: Are the rows only checked?
    dry_run: bool = False
    rows: int = 0
    #: Rows whose job is in the batch, put there by this run or by an earlier one.
    enqueued: int = 0
    refused: int = 0
    #: Rows whose number or address is in an earlier line of the file.
    repeated: int = 0
    #: Rows of people who are in the group.
    present: int = 0
    #: How many of the first people enqueued were added by an earlier job: they are not added again.
    added_before: int = 0
    #: The last physical line up to which every row is enqueued or refused.
    line: int = 1
    began: float = field(default_factory=time.monotonic)
    #: When the last row was enqueued; None until then.
    ended: float | None = None

    @property
    def seconds(self) -> float:
        """Return how long reading and enqueueing has taken."""
        return (self.ended or time.monotonic()) - self.began

    @property
    def right(self) -> int:
        """Return how many rows are contacts that no earlier line has."""
        return self.rows - self.refused - self.repeated

    def __str__(self) -> str:
        done = f"{self.right:,} right" if self.dry_run else f"{self.enqueued:,} enqueued"
        counts = f"{done}, {self.refused:,} refused, {self.repeated:,} repeated"
        if self.present:
            counts += f", {self.present:,} in the group already"
        return f"{self.rows:,} rows read, {counts}, {self.rows / max(self.seconds, 1e-6):,.0f} rows/s"


@dataclass(frozen=True, slots=True)
class Answers:
    """What has come of the rows of one import."""

    #: Rows whose job is in the batch.
    enqueued: int
    added: int
    failed: int
    #: Jobs that are not answered.
    waiting: int
    #: At the present pace, until the first answer with all that waits in the queue; None while nothing is answered.
    left_seconds: float | None

    @property
    def replayed(self) -> int:
        """Return how many were added by an earlier job, so that nothing was sent."""
        return max(0, self.enqueued - self.added - self.failed - self.waiting)

    @property
    def answered(self) -> int:
        """Return how many rows are answered."""
        return max(0, self.enqueued - self.waiting)


class Watcher(Protocol):
    """Shows how an import goes, from its first row to its last answer."""

    def read(self, position: int) -> None:
        """Show that ``position`` bytes of the file are done."""

    def refused(self, where: str, problem: str) -> None:
        """Show that a row was refused."""

    def repeated(self, where: str, first: int) -> None:
        """Show that the line ``first`` has the same number or address as this row."""

    def answered(self, answers: Answers) -> None:
        """Show what has come of the rows so far."""

    def say(self, text: str) -> None:
        """Show a message for people, such as that Redis is away."""


class Stopped(Exception):  # noqa: N818 - says what happened to the import
    """The import ended before the end of its file, or of the answers; the message says why."""

    def __init__(self, why: str, *, redis_away: bool = False, batch_known: bool = True) -> None:
        super().__init__(why)
        self.redis_away = redis_away
        self.batch_known = batch_known


class BatchCancelled(Stopped):
    """The batch was cancelled: every further job in it would be answered as cancelled, too."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(
            f"the batch {batch_id} was cancelled, and every job in it is answered as cancelled: import the file in a new batch"
        )
