"""How an import shows what it is doing: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

__all__ = ["ImportProgress", "Tally"]

#: Where there is no terminal, a line this often, in seconds.
PLAIN_EVERY_SECONDS = 5.0
#: Refused rows that are shown one by one; the file of refused rows has them all.
SHOWN_ROWS = 1000


@dataclass(slots=True)
class Tally:
    """What an import has done so far."""

    rows: int = 0
    enqueued: int = 0
    refused: int = 0
    #: The last physical line up to which every row is enqueued or refused.
    line: int = 1
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self.began

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / max(self.seconds, 1e-6)

    def __str__(self) -> str:
        return f"{self.rows:,} rows read, {self.enqueued:,} enqueued, {self.refused:,} refused, {self.rate:,.0f} rows/s"


class ImportProgress:
    """Writes to standard error, so that standard output has the summary alone."""

    def __init__(self, tally: Tally, size: int) -> None:
        self._tally = tally
        self._console = Console(stderr=True)
        self._plain_at = time.monotonic() + PLAIN_EVERY_SECONDS
        self._bar = Progress(
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(str(tally), total=size)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, position: int) -> None:
        """So many bytes of the file are done."""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=position, description=str(self._tally))
        elif time.monotonic() >= self._plain_at:
            self._plain_at = time.monotonic() + PLAIN_EVERY_SECONDS
            self.say(str(self._tally))

    def refused(self, line: int, problem: str) -> None:
        """A row was refused."""
        if self._tally.refused <= SHOWN_ROWS:
            self.say(f"line {line}: {problem}")
        elif self._tally.refused == SHOWN_ROWS + 1:
            self.say(f"... more than {SHOWN_ROWS:,} rows are wrong; the file of refused rows has them all")

    def say(self, text: str) -> None:
        """One line, above the bar."""
        plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
        self._console.print(Text(plain), soft_wrap=True)
