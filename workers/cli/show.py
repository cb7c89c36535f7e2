"""How events are shown to people."""

from __future__ import annotations

from typing import Any

import orjson
from rich.table import Table

from workers.cli.output import plain

__all__ = ["event_line", "event_row", "events_table", "failed", "shown"]


def events_table(title: str | None = None) -> Table:
    """Return an empty table of events."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for column in ("time", "event", "subject", "what"):
        table.add_column(column, overflow="fold")
    return table


def event_row(event: dict[str, Any]) -> tuple[str, str, str, str]:
    """Return an event's time, type, subject and gist, each safe to print on a terminal."""
    short = str(event["type"]).removeprefix("coupontools.")
    return (
        plain(event["time"][11:23]),
        plain(short),
        plain(str(event.get("subject", ""))),
        plain(shown(event)),
    )


def event_line(event: dict[str, Any]) -> str:
    """Return an event in one line."""
    time, kind, subject, what = event_row(event)
    return f"{time}  {kind:<16}  {subject:<20}  {what}".rstrip()


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
