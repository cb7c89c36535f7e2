"""How an import shows what it is doing: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from workers.cli.output import plain
from workers.imports import Tally

__all__ = ["ImportProgress"]

#: How often a line is printed where there is no terminal, in seconds.
PLAIN_EVERY_SECONDS = 5.0
#: Refused rows that are shown one by one; the file of refused rows has them all. So many repeated rows are shown, too.
SHOWN_ROWS = 1000


class ImportProgress(Progress):
    """Writes to standard error, so that standard output has the summary alone."""

    def __init__(self, tally: Tally, size: int) -> None:
        console = Console(stderr=True)
        super().__init__(
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tally = tally
        self._plain_at = time.monotonic() + PLAIN_EVERY_SECONDS
        self._bar = self.add_task(str(tally), total=size)

    def read(self, position: int) -> None:
        """Show that so many bytes of the file are done."""
        if not self.disable:
            self.update(self._bar, completed=position, description=str(self._tally))
        elif time.monotonic() >= self._plain_at:
            self._plain_at = time.monotonic() + PLAIN_EVERY_SECONDS
            self.say(str(self._tally))

    def refused(self, where: str, problem: str) -> None:
        """Say that a row was refused."""
        if self._tally.refused <= SHOWN_ROWS:
            self.say(f"{where}: {problem}")
        elif self._tally.refused == SHOWN_ROWS + 1:
            self.say(f"... more than {SHOWN_ROWS:,} rows are wrong; the file of refused rows has them all")

    def repeated(self, where: str, first: int) -> None:
        """Say that a row's number or address stands in the line `first` already."""
        if self._tally.repeated <= SHOWN_ROWS:
            self.say(f"{where}: the same contact as in line {first}; not added twice")
        elif self._tally.repeated == SHOWN_ROWS + 1:
            self.say(f"... more than {SHOWN_ROWS:,} rows repeat others")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(Text(plain(text)), soft_wrap=True)
