"""A standard stream that writes at once, and drops what its disk or pipe does not take."""

from __future__ import annotations

import errno
import io
import os
from typing import Any, TextIO, cast

__all__ = ["Unbuffered"]


class Unbuffered(io.FileIO):
    """Write everything at once, without a buffer.

    If Ctrl-C came after the system had written a line, but before the buffer had noted that, a buffer would write the line again at the
    end of the process. What a full disk, or a pipe without a reader, refused would also stay in the buffer: Python would try to write it
    at its end, fail again, and exit with code 120.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)

    def write(self, data: Any) -> int:
        """Write everything, or what the stream takes. Return the length of `data`."""
        left = memoryview(data)
        try:
            while left:
                written = super().write(left)
                if written is None:
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                left = left[written:]
        except OSError as error:
            self.failed(error)
        return len(data)

    def failed(self, error: OSError) -> None:
        """Drop what could not be written. A subclass may raise an error of its own."""

    def as_text(self, replaced: TextIO | None, errors: str | None) -> io.TextIOWrapper:
        """Return a text stream that writes line by line, in the encoding of the one that it replaces."""
        return io.TextIOWrapper(
            # A TextIOWrapper also takes a file without a buffer, although its type does not say so.
            cast("io.BufferedWriter", self),
            encoding=replaced.encoding if replaced else "utf-8",
            errors=errors,
            line_buffering=True,
        )
