"""Cells that a spreadsheet would run as a formula: written as text, and read as they were meant.

A refused row holds what somebody typed into a form, and is opened in a spreadsheet to be mended.
https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["as_meant", "as_text"]

STARTS: Final = ("=", "@", "-", "+", "\t", "\r")
#: A spreadsheet takes this for a number, and runs nothing; a phone number looks like this.
PLAIN_NUMBER: Final = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")


def as_text(cell: str) -> str:
    """Return the cell, with an apostrophe in front if a spreadsheet would run it."""
    return f"'{cell}" if cell.startswith(STARTS) and not PLAIN_NUMBER.fullmatch(cell) else cell


def as_meant(cell: str) -> str:
    """Return the cell without the apostrophe that `as_text` adds, or that somebody typed for the same reason."""
    return cell[1:] if cell.startswith("'") and cell.startswith(STARTS, 1) else cell
