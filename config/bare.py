"""The bare text of a setting, without the blanks and the quotes that stand around it."""

from __future__ import annotations

__all__ = ["bare"]


def bare(text: str) -> str:
    """Take away blanks and a pair of quotes: `.env` may have them, and Docker hands on those of its `--env-file`."""
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
