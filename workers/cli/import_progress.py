"""How an import shows what it is doing: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from workers.cli.output import plain
from workers.imports import Answers, Tally, duration

__all__ = ["ImportProgress"]

#: How often a line is printed where there is no terminal, in seconds.
PLAIN_EVERY_SECONDS = 5.0
#: After how long without an answer a hint says what may be wrong, in seconds.
HINT_SECONDS = 15.0
#: At most this many refused rows are shown one by one (the file of refused rows has them all), and as many repeated rows.
SHOWN_ROWS = 1000


class ImportProgress(Progress):
    """Writes to standard error, so that standard output has the summary alone."""

    def __init__(self, tally: Tally, size: int) -> None:
        console = Console(stderr=True)
        super().__init__(
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tally = tally
        self._plain_at = time.monotonic() + PLAIN_EVERY_SECONDS
        self._size = size
        self._bar = self.add_task(str(tally), total=size)
        #: The number of answers, since when it has not grown, and whether the hint was given.
        self._answered, self._answered_at, self._hinted = 0, 0.0, False

    def read(self, position: int) -> None:
        """Show that `position` bytes of the file are done."""
        left = self._tally.seconds * (self._size / position - 1) if position else 0.0
        self._show(position, f"{self._tally}{f', {duration(left)} left' if left >= 1 else ''}")

    def answered(self, answers: Answers) -> None:
        """Show how many rows are answered, and how long the rest takes."""
        now = time.monotonic()
        if not self._answered_at or answers.answered != self._answered:
            self._answered, self._answered_at = answers.answered, now
        elif now - self._answered_at > HINT_SECONDS and not self._hinted:
            self._hinted = True
            self.say(
                "no answer for a while; is a worker running, or is work held? (coupontools-worker status)"
            )
        left = answers.left_seconds
        parts = [f"{answers.answered:,} of {answers.enqueued:,} answered", f"{answers.added:,} added"]
        parts += [f"{answers.replayed:,} added before"] if answers.replayed else []
        parts += [f"{answers.failed:,} failed"] if answers.failed else []
        parts += ["nobody knows how long it takes" if left is None else f"{duration(left)} left"]
        self._show(answers.answered, ", ".join(parts), answers.enqueued)

    def _show(self, completed: int, text: str, total: int | None = None) -> None:
        if not self.disable:
            self.update(self._bar, completed=completed, description=text, total=total)
        elif time.monotonic() >= self._plain_at:
            self._plain_at = time.monotonic() + PLAIN_EVERY_SECONDS
            self.say(text)

    def refused(self, where: str, problem: str) -> None:
        """Say that a row was refused."""
        if self._tally.refused <= SHOWN_ROWS:
            self.say(f"{where}: {problem}")
        elif self._tally.refused == SHOWN_ROWS + 1:
            self.say(f"... more than {SHOWN_ROWS:,} rows are wrong; the file of refused rows has them all")

    def repeated(self, where: str, first: int) -> None:
        """Say that the line `first` has the same number or address as this row."""
        if self._tally.repeated <= SHOWN_ROWS:
            self.say(f"{where}: the same contact as in line {first}; not added twice")
        elif self._tally.repeated == SHOWN_ROWS + 1:
            self.say(f"... more than {SHOWN_ROWS:,} rows repeat others")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(Text(plain(text)), soft_wrap=True)
