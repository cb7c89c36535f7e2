"""The tests' side of the nursery: starts commands there, each with an object like `subprocess.Popen`."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self


class Nursery:
    """The nursery of this pytest process; it ends with the context."""

    def __init__(self) -> None:
        self._way, its = socket.socketpair(type=socket.SOCK_SEQPACKET)
        # With this variable, each process would compile our modules for itself.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-P", Path(__file__).with_name("nursery.py")],
                env=environment,
                stdin=its.fileno(),
                start_new_session=True,
            )

    def start(
        self,
        arguments: list[str],
        environment: Mapping[str, str],
        stdout: IO[Any],
        *,
        stderr: IO[Any] | None = None,
        stdin: IO[Any] | None = None,
    ) -> Nursling:
        """Start `coupontools-worker` with these arguments, or Python if they begin with "-c", with only this environment.

        The process prints to ``stdout``, its errors too unless ``stderr`` is given, and has an empty input unless ``stdin`` is given.
        """
        command = arguments if arguments[:1] == ["-c"] else ["workers.cli", *arguments]
        order = {"environment": dict(environment), "arguments": command, "folder": str(Path.cwd())}
        ours, its = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with its, Path(os.devnull).open("rb") as nothing:
            streams = [stdin or nothing, stdout, stderr or stdout]
            files = [*(stream.fileno() for stream in streams), its.fileno()]
            socket.send_fds(self._way, [json.dumps(order).encode()], files)
        return Nursling(ours)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._way.close()
        self._process.wait(timeout=60)


class Nursling:
    """A process that the nursery has started."""

    def __init__(self, heard: socket.socket) -> None:
        self._heard = heard
        #: The id of the process, and of its session and its group.
        self.pid = int(heard.recv(64))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit code."""
        if self.returncode is None:
            if not select.select([self._heard], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("coupontools-worker", timeout or 0)
            self.returncode = int(self._heard.recv(64))
            self._heard.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)
