"""The demo's table, row by row, so that it reads the same on a terminal and in a file."""

from __future__ import annotations

import io
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workers.cli.demo_play import Answer, Report
from workers.cli.show import event_row, shown

__all__ = ["DemoTable", "console"]

#: Columns where the output is no terminal, and the most on one.
FILE_WIDTH = 120
WIDEST = 160
TITLE, EVENT, AFTER = 29, 16, 7


def console() -> Console:
    """Where the table goes: as wide as the terminal, or always the same in a file."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that has no "✓" shall show something else, not a traceback.
        sys.stdout.reconfigure(errors="replace")
    found = Console(highlight=False)
    width = min(found.width, WIDEST) if found.is_terminal else FILE_WIDTH
    return Console(highlight=False, width=width)


class DemoTable:
    """Prints one row for each answer as it arrives."""

    def __init__(self, output: Console) -> None:
        self._console = output

    def say(self, sentence: str = "") -> None:
        """A line between rows."""
        self._console.print(Text(sentence))

    def begin(self) -> None:
        """The columns' names."""
        self._print(*(Text(name, style="bold") for name in ("job", "event", "after", "what it says")))
        self.say("─" * self._console.width)

    def row(self, answer: Answer) -> None:
        """One answer."""
        event = event_row(answer.event)[1]
        style = "red" if answer.differences else "yellow" if _bad_news(event) else "green"
        self._print(
            Text(answer.step.title),
            Text(event, style=style),
            Text(f"{answer.waited_ms} ms"),
            Text(_says(answer.event)),
        )

    def end(self, report: Report) -> None:
        """What was proven, or what differed."""
        self.say("─" * self._console.width)
        for sentence in report.differences:
            self.say(f"✗ {sentence}")
        if not report.differences:
            for sentence in report.proven:
                self.say(f"✓ {sentence}")

    def _print(self, *cells: Text) -> None:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=TITLE, overflow="fold")
        table.add_column(width=EVENT, overflow="fold")
        table.add_column(width=AFTER, overflow="fold", justify="right")
        table.add_column(overflow="fold")
        table.add_row(*cells)
        self._console.print(table)


def _bad_news(event: str) -> bool:
    return event.endswith((".failed", ".rejected"))


def _says(event: dict[str, Any]) -> str:
    """The gist: what somebody who looks for the first time wants to see of it."""
    data = event["data"]
    match event["type"]:
        case "coupontools.webhook.verified":
            return f"{data['webhook_id']}: {', '.join(data['checked'])} agree"
        case "coupontools.webhook.rejected" if data["mismatches"]:
            return "; ".join(
                f"{m['field']} is {m['received']}, on record {m['expected']}" for m in data["mismatches"]
            )
        case "coupontools.message.rejected":
            return str(data["reason"])
        case "coupontools.contact.failed":
            error = data["error"]
            return f"{error['kind']}: " + "; ".join(f"{d['field']} {d['message']}" for d in error["details"])
        case _:
            return shown({**event, "data": {k: v for k, v in data.items() if k != "channel"}})
