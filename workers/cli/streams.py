"""The standard streams of a command, also where they are closed, full, or read by nobody any more."""

from __future__ import annotations

import errno
import os
import sys

from config.unbuffered import Unbuffered

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


class _StandardOutput(Unbuffered):
    """A command whose results nobody gets must end."""

    def failed(self, error: OSError) -> None:
        raise OutputFailed(error) from None


def prepare_streams() -> None:
    """Open closed standard streams, make every failure of standard output an `OutputFailed`, and ignore those of standard error.

    If a stream stayed closed, the next file or connection would get its number, and log lines would be written into it. Messages that
    nobody can get must not stop an import half way; its exit code and its files tell how it ended.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The new file gets the lowest free number, which is this one. It must stay open in the supervisor that `run` becomes.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # A terminal whose encoding has no "✓" shows a "?"; without this a command would end in a traceback.
    sys.stdout = _StandardOutput(1).as_text(sys.stdout, "replace")
    sys.stderr = Unbuffered(2).as_text(sys.stderr, "backslashreplace")
