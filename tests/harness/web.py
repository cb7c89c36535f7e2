"""The operators' page in a process of its own, as it is deployed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.waiting import PATIENCE, wait_for

__all__ = ["IMPORT_TOKEN", "TOKEN", "WebProcess"]

TOKEN = "operators-token-hard-to-guess"
IMPORT_TOKEN = "importers-token-hard-to-guess"


class WebProcess:
    """`coupontools-worker web` on a free port, or on the one that it had before."""

    def __init__(self, environment: dict[str, str], port: int = 0) -> None:
        self._log = tempfile.NamedTemporaryFile(prefix="web-", suffix=".log")  # noqa: SIM115 - closed on exit
        self._environment = {"WEB_TOKEN": TOKEN, "WEB_IMPORT_TOKEN": IMPORT_TOKEN, **environment}
        self.port = port

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "web", "--port", str(self.port)],
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
        )
        started = wait_for(
            lambda: self.process.poll() is not None or self.log_lines("web.started"),
            seconds=60,
            what="the start of the page",
            show=lambda: self.log_text,
        )
        assert isinstance(started, list), self.log_text
        self.port = started[0]["port"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            sys.stderr.write(self.log_text[-6000:])
        self.process.kill()
        self.process.wait(timeout=120)
        self._log.close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_text(self) -> str:
        """Everything it has printed."""
        return Path(self._log.name).read_text(encoding="utf-8")

    def log_lines(self, event: str) -> list[dict[str, Any]]:
        """Its log lines of one event."""
        complete, _, _ = self.log_text.rpartition("\n")
        return [line for line in map(json.loads, complete.splitlines()) if line["event"] == event]

    def end(self) -> int:
        """SIGTERM; answers the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60 * PATIENCE)
