"""The broker's Lua scripts, by name."""

from __future__ import annotations

from pathlib import Path

from delivery import load_scripts

__all__ = ["SCRIPTS"]

SCRIPTS = load_scripts(Path(__file__).parent / "lua")
