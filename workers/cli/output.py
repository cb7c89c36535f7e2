"""How a command prints: lines for people, JSON lines for programs.

Some of these texts come from outside, through a queue. They must not control an operator's terminal, and must not break a line in two.
"""

from __future__ import annotations

from typing import Any

import orjson
import typer

from config.plain import json_line, plain

__all__ = ["plain", "say", "say_json"]


def say(text: str, *, err: bool = False, keep: str = "") -> None:
    """Print a line for people, without control characters, except those to `keep`."""
    typer.echo(plain(text, keep=keep), err=err)


def say_json(value: Any, *, indent: bool = False) -> None:
    """Print a value as JSON, in one line unless `indent` is set. Bytes must already hold JSON."""
    text = (
        value
        if isinstance(value, bytes)
        else orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None)
    )
    typer.echo(json_line(text.decode(), keep="\n" if indent else "").encode())
