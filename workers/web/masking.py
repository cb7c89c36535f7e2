"""Masks a job as the log would, for pages that show it before somebody asks to see names, numbers and addresses."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import copy_context
from typing import Any

import orjson

from config import know
from config.personal import is_personal_key
from config.scrub import scrub, scrub_text

__all__ = ["Mask", "pretty"]


class Mask:
    """Masks texts about one job: what looks like a number or an address, and the job's own values, whatever they look like."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        own = {name: value for name, value in arguments.items() if is_personal_key(name)}
        # `know` holds only for code that runs in this context.
        self._context = copy_context()
        self._context.run(know, own, public=(), names=own)

    def text(self, text: str) -> str:
        """Return a text as the log would show it."""
        return self._context.run(scrub_text, text)

    def value(self, value: Any) -> Any:
        """Return a JSON value as the log would show it."""
        return self._context.run(scrub, value)

    def message(self, message: Any) -> Any:
        """Return a message as the log would show it, but with its arguments masked one by one, not as a whole."""
        masked = self.value(message)
        if isinstance(masked, dict) and isinstance(message.get("kwargs"), dict):
            masked["kwargs"] = self.value(message["kwargs"])
        return masked


def pretty(value: Any) -> str:
    """Return a JSON value for people to read; as plain text if it is nested too deeply to be written as JSON."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONEncodeError:
        pass
    try:
        return str(value)[:100_000]
    except RecursionError:
        # Python reads a little deeper than it prints.
        return "it is nested too deeply to be shown"
