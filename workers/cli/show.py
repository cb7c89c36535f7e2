"""How events are shown to people."""

from __future__ import annotations

from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from delivery import PREFIX
from workers.cli.output import plain

__all__ = ["event_line", "failed", "print_event", "short_type", "shown"]


def event_line(event: dict[str, Any]) -> str:
    """Return an event's time, type, subject and gist in one line that is safe to print on a terminal."""
    subject = str(event.get("subject", ""))
    return plain(f"{event['time']}  {short_type(event):<16}  {subject:<20}  {shown(event)}".rstrip())


def short_type(event: dict[str, Any]) -> str:
    """Return an event's type after the prefix."""
    return plain(str(event["type"]).removeprefix(PREFIX))


def print_event(console: Console, event: dict[str, Any]) -> None:
    """Print an event in one line, and the rows of a listing's page as a table."""
    console.out(event_line(event), highlight=False)
    data = event["data"]
    rows = [row for row in data.get("groups", data.get("contacts", [])) if isinstance(row, dict)]
    # Leave out a column that is empty in all rows, such as phone in an email group: it takes the room of others.
    columns = [name for name in (rows[0] if rows else ()) if any(row.get(name) for row in rows)]
    table = Table(show_edge=False, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name))) for name in columns))
    if columns:
        console.print(table)


def _cell(value: object) -> str:
    if value is None or value is False:
        return ""
    return "yes" if value is True else plain(str(value))


def shown(event: dict[str, Any]) -> str:
    """Return what an event says, in one line."""
    data = dict(event["data"])
    flags = [name for name in ("replayed", "reconciled") if data.pop(name, False)]
    data.pop("attempts", None)
    match data:
        case {"error": {"kind": kind, "message": message} as error}:
            code = "" if error.get("code") is None else f" {error['code']}"
            text = f"{kind}{code}: {message}"
        case {"page": page, "pages": pages, "total": total, **rest}:
            rows = rest.get("groups", rest.get("contacts"))
            text = f"page {page} of {pages}, {len(rows) if isinstance(rows, list) else 'no'} of {total} rows"
        case _:
            text = ", ".join(
                f"{name} {_short(value)}" for name, value in data.items() if value not in (None, "", [])
            )
    return f"{text} ({', '.join(flags)})" if flags else text


def _short(value: object) -> str:
    try:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        # It could be read, but is nested too deeply to be written again.
        return "..."
    return text if len(text) <= 60 else f"{text[:57]}..."


def failed(event: dict[str, Any]) -> bool:
    """Return whether the job ended without success."""
    return str(event["type"]).endswith(".failed") or event["type"] == "coupontools.message.rejected"
