"""The broker's scripts, and the keys each takes of a queue."""

from __future__ import annotations

from pathlib import Path

from delivery import PAUSES_MS, load_scripts

__all__ = ["SCRIPTS"]

SCRIPTS = load_scripts(Path(__file__).parent / "lua", PAUSES_MS)
