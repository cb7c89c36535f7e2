"""A server of ours in a process of its own, as it is deployed."""

from __future__ import annotations

import signal
import subprocess
import sys
from types import TracebackType
from typing import Self

from tests.harness.logged import Logged
from tests.harness.nursling import Nursery, Nursling
from tests.harness.waiting import PATIENCE, wait_for

__all__ = ["Served"]


class Served(Logged):
    """A command that serves HTTP, on a free port, or on the one that it had before."""

    def __init__(
        self,
        command: str,
        name: str,
        environment: dict[str, str],
        port: int = 0,
        nursery: Nursery | None = None,
    ) -> None:
        """Start the command, in the ``nursery`` if one is given; the names of its log events begin with ``name``."""
        super().__init__(name)
        self._name = name
        self.port = port
        arguments = [command, "--port", str(port)]
        self.process: subprocess.Popen[bytes] | Nursling
        if nursery:
            self.process = nursery.start(arguments, environment, self._log)
            return
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", *arguments],
            env=environment,
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        started = wait_for(
            lambda: self.process.poll() is not None or self.log_lines(f"{self._name}.started"),
            seconds=60,
            what=f"the start of {self._name}",
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
        self.close_log()

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def end(self) -> int:
        """Send SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60 * PATIENCE)
