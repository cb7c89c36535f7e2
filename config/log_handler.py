"""Where log lines leave the process: into a file, a terminal, or a pipe or socket that somebody may have stopped reading."""

from __future__ import annotations

import logging
import os
import select
import stat
from typing import Final, TextIO

import orjson

from config.plain import json_line
from config.unbuffered import Unbuffered

__all__ = ["LineHandler"]

#: Up to this length a line enters a pipe in one piece, so that lines of several processes do not mix, and no write blocks half way.
#: https://man7.org/linux/man-pages/man7/pipe.7.html (PIPE_BUF)
PIPE_BYTES: Final = 4096
#: How long a line waits for somebody to read the pipe before it is dropped, in seconds; the next ones do not wait.
PIPE_PATIENCE_SECONDS: Final = 0.1
#: Standard output and standard error, which stay open to the end of the process.
STANDARD: Final = (1, 2)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines to a stream, and ignores errors of the stream: there is nowhere else to report them.

    A pipe that nobody reads would block the write, and with it the work. So lines are then dropped, and counted. systemd's journal reads
    from a socket, which counts as a pipe here.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(_unbuffered(stream))
        self._pipe = _pipe_of(stream)
        self._poll = select.poll()
        if self._pipe is not None:
            self._poll.register(self._pipe, select.POLLOUT)
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, or count it as dropped."""
        if self._pipe is not None and not self._poll.poll(
            0 if self._dropped else PIPE_PATIENCE_SECONDS * 1000
        ):
            self._dropped += 1
            return
        if self._dropped:
            lost, self._dropped = self._dropped, 0
            dropped = logging.LogRecord("log", logging.WARNING, __file__, 0, "log.dropped", None, None)
            dropped.lines = lost
            super().emit(dropped)
            self.emit(record)
            return
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, shortened where it would not enter a pipe in one piece."""
        line = super().format(record)
        if self._pipe is None or len(line) * 4 < PIPE_BYTES or len(line.encode()) < PIPE_BYTES:
            return line
        return _shortened(line)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - stdlib's name
        """Stay silent: stdlib would print a traceback, arguments included, to the very stream that failed."""


def _unbuffered(stream: TextIO) -> TextIO:
    """Return the stream without its buffer, if it is a standard stream of this process: a lost line must not change the exit code."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return stream
    return Unbuffered(number).as_text(stream, stream.errors) if number in STANDARD else stream


def _pipe_of(stream: TextIO) -> int | None:
    """Return the stream's file descriptor if it is a pipe or a socket, else None."""
    try:
        descriptor = stream.fileno()
        mode = os.fstat(descriptor).st_mode
        return descriptor if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None
    except (OSError, ValueError):
        return None


def _shortened(line: str) -> str:
    """Return the line in less than PIPE_BYTES: JSON with its longest texts cut in the middle, any other line cut at its end."""
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return f"{line.encode()[: PIPE_BYTES - 8].decode(errors='ignore')}…"
    fields = {
        name: orjson.dumps(value).decode() if isinstance(value, (dict, list)) else value
        for name, value in fields.items()
    }
    for most in (2000, 500, 100, 20):
        # The end of a traceback says more than its beginning.
        short = {
            name: f"{value[: most // 4]} … {value[-most:]}"
            if isinstance(value, str) and len(value) > most * 1.5
            else value
            for name, value in fields.items()
        }
        line = json_line(orjson.dumps(short).decode())
        if len(line.encode()) < PIPE_BYTES:
            return line
    # The first four fields are those that every line has.
    first = dict(list(short.items())[:4])
    return orjson.dumps(first | {"log_error": "this line was too long"}).decode()
