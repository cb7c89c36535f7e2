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
    """Standard output takes nothing more. Not an `OSError`: Typer would print a traceback, or choose an exit code of its own."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: {error.strerror}")
        self._reader_gone = error.errno == errno.EPIPE

    def end(self) -> int:
        """Say what is wrong, unless the reader has just read enough. Return the exit code."""
        # The text that Python still holds back would fail again when the process ends, and cause a second error message.
        with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - a device
            os.dup2(nothing.fileno(), 1)
        if self._reader_gone:
            return READER_GONE
        sys.stderr.write(f"{self}\n")
        return 1


class _StandardOutput(io.FileIO):
    """Write everything at once, without a buffer.

    If Ctrl-C came after the system had written a line, but before the buffer had noted that, a buffer would write the line again at the
    end of the process.
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
    """Open the standard streams that are closed, and make every failure of standard output an `OutputFailed`.

    Otherwise the next file or connection would get the number of a closed stream, and log lines would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The new file gets the lowest free number, which is this one. It must stay open in the supervisor that `run` becomes.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - stays open to the end
    sys.stdout = io.TextIOWrapper(
        # A TextIOWrapper also takes a file without a buffer, although its type does not say so.
        cast("io.BufferedWriter", _StandardOutput(1, "w", closefd=False)),
        encoding=sys.stdout.encoding if sys.stdout else "utf-8",
        # A terminal whose encoding has no "✓" shows a "?"; without this a command would end in a traceback.
        errors="replace",
        line_buffering=True,
    )
