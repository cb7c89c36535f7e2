"""A command that runs beside the test; the test reads its output and writes its input, as with `subprocess.Popen`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from types import TracebackType
from typing import IO, Any, Self

from tests.harness.nursling import Nursery, Nursling

__all__ = ["DEVNULL", "PIPE", "STDOUT", "Piped"]


class Piped:
    """`coupontools-worker` with these arguments, or Python if they begin with "-c"; it is killed at the end of the block.

    The ``nursery`` starts it, if one is given. Each stream is a pipe to the test, an open file, or the null device; errors may go where
    standard output goes.
    """

    def __init__(
        self,
        arguments: list[str],
        environment: Mapping[str, str],
        *,
        nursery: Nursery | None,
        stdin: IO[Any] | int = DEVNULL,
        stdout: IO[Any] | int = PIPE,
        stderr: IO[Any] | int = PIPE,
        text: bool = False,
    ) -> None:
        #: The test's ends of the pipes.
        self.stdin: Any = None
        self.stdout: Any = None
        self.stderr: Any = None
        self._process: subprocess.Popen[Any] | Nursling
        if nursery is None:
            program = [] if arguments[:1] == ["-c"] else ["-m", "workers.cli"]
            command = [sys.executable, *program, *arguments]
            process = subprocess.Popen(
                command, env=environment, stdin=stdin, stdout=stdout, stderr=stderr, text=text
            )
            self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr
            self._process = process
            return
        with ExitStack() as its:

            def end_of(stream: IO[Any] | int, name: str) -> IO[Any]:
                if not isinstance(stream, int):
                    return stream
                reading = name == "stdin"
                if stream == DEVNULL:
                    return its.enter_context(Path(os.devnull).open("rb" if reading else "wb"))
                if stream != PIPE:
                    return its.enter_context(
                        os.fdopen(os.dup(stream), "rb" if reading else "wb", buffering=0)
                    )
                reader, writer = os.pipe()
                ours, theirs = (writer, reader) if reading else (reader, writer)
                mode = ("w" if reading else "r") + ("" if text else "b")
                setattr(self, name, os.fdopen(ours, mode, encoding="utf-8" if text else None))
                return its.enter_context(os.fdopen(theirs, "rb" if reading else "wb", buffering=0))

            into = end_of(stdout, "stdout")
            errors = into if stderr == STDOUT else end_of(stderr, "stderr")
            self._process = nursery.start(
                arguments, environment, into, stderr=errors, stdin=end_of(stdin, "stdin")
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, once somebody has waited for it."""
        return self._process.returncode

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float) -> int:
        """Wait for its end; return the exit code."""
        return self._process.wait(timeout=timeout)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        self._process.send_signal(number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def communicate(self, timeout: float) -> tuple[Any, Any]:
        """Close its input, and wait for its end; return what it has printed."""
        if self.stdin:
            self.stdin.close()
        printed: dict[str, Any] = {}
        readers = []
        for name in ("stdout", "stderr"):
            if stream := getattr(self, name):
                read = threading.Thread(
                    target=lambda name=name, stream=stream: printed.update({name: stream.read()}), daemon=True
                )
                read.start()
                readers.append(read)
        for read in readers:
            read.join(timeout)
            if read.is_alive():
                raise subprocess.TimeoutExpired("coupontools-worker", timeout)
        self.wait(timeout)
        return printed.get("stdout"), printed.get("stderr")

    def close(self) -> None:
        """Kill it, and close its streams."""
        self.kill()
        self.wait(120)
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream:
                # Input that is still buffered has no reader any more.
                with suppress(BrokenPipeError):
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
