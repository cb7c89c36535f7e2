"""How events are shown to people."""

from __future__ import annotations

from typing import Any

import orjson
from rich.table import Table

__all__ = ["event_line", "event_row", "events_table", "failed", "plain", "shown"]


def events_table(title: str | None = None) -> Table:
    """Return an empty table of events."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for column in ("time", "event", "subject", "what"):
        table.add_column(column, overflow="fold")
    return table


def event_row(event: dict[str, Any]) -> tuple[str, str, str, str]:
    """Return an event's time, type, subject and gist."""
    short = str(event["type"]).removeprefix("coupontools.")
    return str(event["time"])[11:23], short, str(event.get("subject", "")), shown(event)


def event_line(event: dict[str, Any]) -> str:
    """Return an event in one line that is safe to print on a terminal."""
    time, kind, subject, what = (plain(text) for text in event_row(event))
    return f"{time}  {kind:<16}  {subject:<20}  {what}".rstrip()


def plain(text: str, *, keep: str = "") -> str:
    """Return the text without control characters: what strangers put into a queue must not drive an operator's terminal."""
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def shown(event: dict[str, Any]) -> str:
    """Return what an event says, in one line."""
    data = dict(event["data"])
    flags = [name for name in ("replayed", "reconciled") if data.pop(name, False)]
    data.pop("attempts", None)
    if error := data.get("error"):
        code = "" if error["code"] is None else f" {error['code']}"
        text = f"{error['kind']}{code}: {error['message']}"
    elif "page" in data:
        rows: list[Any] = data["groups"] if "groups" in data else data["contacts"]
        text = f"page {data['page']} of {data['pages']}, {len(rows)} of {data['total']} rows"
    else:
        text = ", ".join(
            f"{name} {_short(value)}" for name, value in data.items() if value not in (None, "", [])
        )
    return f"{text} ({', '.join(flags)})" if flags else text


def _short(value: object) -> str:
    text: str = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


def failed(event: dict[str, Any]) -> bool:
    """Return whether the job ended without success."""
    return str(event["type"]).endswith(".failed") or event["type"] == "coupontools.message.rejected"
