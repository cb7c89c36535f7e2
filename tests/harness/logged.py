"""Reads what a process has printed, as log lines."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.harness.waiting import wait_for


class Logged:
    """A process of ours that prints to a file, which ``close_log`` deletes."""

    def __init__(self, name: str) -> None:
        self._log = tempfile.NamedTemporaryFile(prefix=f"{name}-", suffix=".log")  # noqa: SIM115 - closed by close_log

    def close_log(self) -> None:
        """Delete the file."""
        self._log.close()

    @property
    def log_text(self) -> str:
        """Everything it has printed."""
        return Path(self._log.name).read_text(encoding="utf-8")

    def log_lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return its log lines, or those of one event. A last line that is still being written is left out."""
        complete, _, _ = self.log_text.rpartition("\n")
        lines = [json.loads(line) for line in complete.splitlines()]
        return [line for line in lines if event is None or line["event"] == event]

    def wait_lines(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Return its lines of one event, once there are ``count``: a test often sees the effect of a step before the line is written."""
        wait_for(
            lambda: len(self.log_lines(event)) >= count,
            what=f"{count} lines {event}",
            show=lambda: self.log_text[-3000:],
        )
        return self.log_lines(event)
