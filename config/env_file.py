"""Oddities that do not make the settings wrong: an `.env` that others may change, unreadable lines in it, and misspelt names."""

from __future__ import annotations

import difflib
import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from dotenv.parser import parse_stream

__all__ = ["ENV_FILE", "anybody_may_write", "oddities"]

ENV_FILE: Final = ".env"
#: From this likeness on, a name is taken for a misspelt setting: one letter too many, too few or changed.
_ALIKE: Final = 0.87

# dotenv would print bare lines before the log is set up; `oddities` reports them.
logging.getLogger("dotenv.main").setLevel(logging.ERROR)


def anybody_may_write() -> bool:
    """Return whether every user of this machine may change the `.env` of the working directory."""
    try:
        return bool(Path(ENV_FILE).stat().st_mode & stat.S_IWOTH)
    except OSError:
        return False


def oddities(known: Iterable[str]) -> list[str]:
    """Return a sentence for each oddity that an operator should know of. `known` are the names of the settings."""
    names, told = _read_file()
    if anybody_may_write():
        told.insert(0, f"{ENV_FILE}: anybody on this machine may write it; run chmod o-w {ENV_FILE}")
    settings = list(known)
    for name in sorted({*names, *(name for name, value in os.environ.items() if value)}):
        if name.upper() not in settings and (
            near := difflib.get_close_matches(name.upper(), settings, 1, _ALIKE)
        ):
            told.append(f"{name}: is no setting and is ignored; {near[0]} is one")
    return told


def _read_file() -> tuple[list[str], list[str]]:
    """Return the names in the file, and a sentence for each line that cannot be read."""
    file = Path(ENV_FILE)
    # A pipe in place of the file has been read by now, and cannot be read again.
    if not file.is_file():
        return [], []
    with file.open(encoding="utf-8") as text:
        bindings = list(parse_stream(text))
    wrong = [
        f"{ENV_FILE}: line {binding.original.line} cannot be read and is ignored"
        for binding in bindings
        if binding.error
    ]
    return [binding.key for binding in bindings if binding.key and binding.value], wrong
