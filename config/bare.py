"""The bare text of a setting, without blanks and quotes around it."""

from __future__ import annotations

__all__ = ["bare"]


def bare(text: str) -> str:
    """Remove blanks and a pair of quotes: `.env` may have them, and Docker passes on those of its `--env-file`."""
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
