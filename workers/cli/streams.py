"""The standard streams of a command, also where they are closed, full, or read by nobody any more."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, cast

__all__ = ["OutputFailed", "prepare_streams"]

#: As a shell shows a process that SIGPIPE has ended: 128 + 13.
READER_GONE = 141


class OutputFailed(Exception):  # noqa: N818 - says what happened
    """Standard output takes nothing more. No `OSError`: Typer would end in a traceback, or with an exit code of its own."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: {error.strerror}")
        self._reader_gone = error.errno == errno.EPIPE

    def end(self) -> int:
        """Say what is wrong, unless it is only that the reader has read enough. Return the exit code."""
        # What Python still holds back would fail again at its end, and be told there.
        with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - a device
            os.dup2(nothing.fileno(), 1)
        if self._reader_gone:
            return READER_GONE
        sys.stderr.write(f"{self}\n")
        return 1


class _StandardOutput(io.FileIO):
    """Write all that it is given, and keep none of it.

    A buffer would keep a line that is written already when Ctrl-C comes between the system's answer and the buffer's book-keeping, and
    write it again at the end of the process.
    """

    def write(self, data: Any) -> int:
        left = memoryview(data)
        try:
            while left:
                written = super().write(left)
                if written is None:
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                left = left[written:]
        except OSError as error:
            raise OutputFailed(error) from None
        return len(data)


def prepare_streams() -> None:
    """Open the standard streams that are closed, and let standard output fail as `OutputFailed` alone.

    Without that, the next file or connection would take the place of a closed stream, and be written to by whoever logs.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one. It is to stay open in the supervisor that `run` becomes.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - stays open to the end
    sys.stdout = io.TextIOWrapper(
        # The text layer is content with a file that has no buffer, which its type does not say.
        cast("io.BufferedWriter", _StandardOutput(1, "w", closefd=False)),
        encoding=sys.stdout.encoding if sys.stdout else "utf-8",
        # A terminal whose encoding has no "✓" shows a "?"; without this a command would end in a traceback.
        errors="replace",
        line_buffering=True,
    )
