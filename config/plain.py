"""Make texts from outside safe to print: they must not control a terminal, nor break a JSON line in two."""

from __future__ import annotations

__all__ = ["json_line", "plain"]


def plain(text: str, *, keep: str = "") -> str:
    """Return the text without control characters, except those to `keep`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def json_line(json: str, *, keep: str = "") -> str:
    """Return the same JSON value without control characters, and without those that some readers take for line ends (U+2028, U+0085)."""
    if json.isprintable():
        return json
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in json)


def _escape(c: str) -> str:
    if c < " ":
        # JSON has these only between values, where a blank means the same.
        return " "
    units = c.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
