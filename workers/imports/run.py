"""One run of `import` over one file: rows become jobs, a batch at a time, and wrong ones are kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import redis

from actors import JOBS, InvalidJob
from config.keys import Keys
from workers.imports.contacts import ContactsFile, Row
from workers.imports.first_lines import FirstLines
from workers.imports.kept_rows import RefusedFile
from workers.imports.pace import BULK
from workers.producer import Enqueued, enqueue_all, job_message
from workers.redis_link import Patience

__all__ = ["ImportRun", "Stopped", "Tally", "Watcher"]

#: Jobs enqueued in one step.
BATCH = 500
#: How long an import waits for a Redis that went away meanwhile, in seconds.
LONGEST_OUTAGE_SECONDS = 300.0

_ADD_CONTACT = JOBS["add_contact"]


@dataclass(slots=True)
class Tally:
    """What an import has done so far."""

    #: Are the rows only checked?
    dry_run: bool = False
    rows: int = 0
    enqueued: int = 0
    refused: int = 0
    #: Rows whose number or address stands further up in the file.
    repeated: int = 0
    #: The last physical line up to which every row is enqueued or refused.
    line: int = 1
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Return how long it has taken."""
        return time.monotonic() - self.began

    @property
    def rate(self) -> float:
        """Return the rows a second."""
        return self.rows / max(self.seconds, 1e-6)

    @property
    def right(self) -> int:
        """Return the rows that are contacts of their own."""
        return self.rows - self.refused - self.repeated

    def __str__(self) -> str:
        done = f"{self.right:,} right" if self.dry_run else f"{self.enqueued:,} enqueued"
        counts = f"{done}, {self.refused:,} refused, {self.repeated:,} repeated"
        return f"{self.rows:,} rows read, {counts}, {self.rate:,.0f} rows/s"


class Watcher(Protocol):
    """Who is told how an import goes."""

    def read(self, position: int) -> None:
        """Be told that so many bytes of the file are done."""

    def refused(self, where: str, problem: str) -> None:
        """Be told that a row was refused."""

    def repeated(self, where: str, first: int) -> None:
        """Be told that a row's number or address stands in the line ``first`` already."""

    def say(self, text: str) -> None:
        """Be told what people should know, such as that Redis is away."""


class Stopped(Exception):  # noqa: N818 - says what happened to the import
    """The import ended before the end of its file; the message says why."""

    def __init__(self, why: str, *, redis_away: bool = False) -> None:
        super().__init__(why)
        self.redis_away = redis_away


@dataclass(frozen=True, slots=True)
class ImportRun:
    """One run over one file."""

    #: None in a dry run: the rows are only checked.
    client: redis.Redis | None
    keys: Keys
    constant: dict[str, Any]
    tally: Tally
    progress: Watcher
    #: The signals that have arrived.
    signals: list[int]
    first_lines: FirstLines = field(default_factory=FirstLines)

    def run(self, contacts: ContactsFile, refused: RefusedFile) -> None:
        """Enqueue a job for each right row, a batch at a time, and keep the wrong ones.

        Raises:
            Stopped: by a signal, or because Redis was away for too long.
        """
        batch: list[Enqueued] = []
        for row in contacts.rows():
            self.tally.rows += 1
            problem = row.problem
            if problem is None:
                try:
                    batch += self._messages(row)
                except InvalidJob as error:
                    problem = str(error)
            if problem is not None:
                rows = refused.add(row, problem)
                self.tally.refused += rows
                self.tally.rows += rows - 1
                self.progress.refused(row.where, problem)
            if len(batch) >= BATCH or self.signals:
                self._enqueue(batch)
                batch.clear()
                self.tally.line = row.last_line
                self.progress.read(contacts.position)
                if self.signals:
                    raise Stopped("stopped")
        self._enqueue(batch)
        self.progress.read(contacts.size)

    def _messages(self, row: Row) -> list[Enqueued]:
        """Return the message of a row; none where an earlier row has the same number or address.

        Raises:
            InvalidJob: an argument of the row is wrong.
        """
        arguments = {**self.constant, **row.arguments}
        job = _ADD_CONTACT.parse(arguments)
        if first := self.first_lines.note(job.needle(), row.line):
            self.tally.repeated += 1
            self.progress.repeated(row.where, first)
            return []
        return [job_message(_ADD_CONTACT.actor, arguments, BULK)]

    def _enqueue(self, batch: list[Enqueued]) -> None:
        """Enqueue a batch, and wait for Redis if it is away."""
        client = self.client
        if client is None or not batch:
            return
        patience = Patience(
            self.progress.say, lambda away: bool(self.signals) or away > LONGEST_OUTAGE_SECONDS
        )
        try:
            patience.ask(lambda: enqueue_all(client, self.keys, batch))
        except redis.RedisError:
            if not patience.is_away:
                raise
            why = (
                "stopped while Redis did not answer"
                if self.signals
                else f"Redis did not answer for {LONGEST_OUTAGE_SECONDS:g} s"
            )
            raise Stopped(why, redis_away=True) from None
        self.tally.enqueued += len(batch)
