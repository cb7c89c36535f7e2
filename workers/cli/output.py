"""How a command prints: lines for people, JSON lines for programs.

Strangers wrote some of these texts. What they put into a queue must not drive an operator's terminal, and must not break a line in two.
"""

from __future__ import annotations

from typing import Any

import orjson
import typer

__all__ = ["plain", "say", "say_json"]


def say(text: str, *, err: bool = False, keep: str = "") -> None:
    """Print a line for people, without control characters but those to `keep`."""
    typer.echo(plain(text, keep=keep), err=err)


def say_json(value: Any, *, indent: bool = False) -> None:
    """Print a value as JSON, in one line unless it is to `indent`; of bytes, the JSON that they hold."""
    text = (
        value
        if isinstance(value, bytes)
        else orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None)
    )
    typer.echo(_escaped(text.decode(), keep="\n" if indent else "").encode())


def plain(text: str, *, keep: str = "") -> str:
    """Return the text without control characters."""
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def _escaped(json: str, keep: str) -> str:
    """Return the same JSON value in text without control characters."""
    if json.isprintable():
        return json
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in json)


def _escape(c: str) -> str:
    if c < " ":
        # JSON has these only between values, where a blank means the same.
        return " "
    units = c.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
