"""The bytes of a file of contacts, wherever they come from, and what is told of a file that is no CSV."""

from __future__ import annotations

import codecs
import io
import os
import select
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, Final

__all__ = ["STDIN", "UnusableFile", "check_format", "count_lines", "is_stream", "open_source"]

#: The name of standard input on a command line.
STDIN: Final = Path("-")
#: What workbooks begin with: a zip archive (.xlsx), and the older format (.xls).
WORKBOOKS: Final = (b"PK\x03\x04", bytes.fromhex("d0cf11e0a1b11ae1"))
UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: So many bytes show whether a file without a byte order mark is UTF-16: half of them are NUL.
LOOKED_AT: Final = 64
CHUNK: Final = 2**20
#: How often a wait for a stream looks whether a signal has come, in seconds.
LOOK_SECONDS = 0.5


class UnusableFile(Exception):  # noqa: N818 - says what the file is
    """The file cannot be imported as it is: mend it. Nothing was enqueued."""


def is_stream(path: Path) -> bool:
    """Return whether it can be read only once: standard input or a pipe."""
    return path == STDIN or not path.is_file()


def open_source(path: Path) -> IO[bytes]:
    """Open a file; of a stream, a copy, since how many rows there are decides how long the jobs may wait.

    Raises:
        OSError: it cannot be opened, read or copied.
    """
    if not is_stream(path):
        return path.open("rb")
    # It has no name, so nobody else can read it, and it is gone when the import ends.
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        if path != STDIN:
            with path.open("rb") as pipe:
                _copy(pipe, copy)
        else:
            _copy(sys.stdin.buffer if sys.stdin else io.BytesIO(), copy)
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return copy


def _copy(stream: IO[bytes], copy: IO[bytes]) -> None:
    """Copy a stream to its end, so that Ctrl-C ends the waiting for more."""
    try:
        number = stream.fileno()
    except OSError:
        shutil.copyfileobj(stream, copy)
        return
    while True:
        # A signal that comes just before a read begins is only heard when the read ends, and nobody knows when that is.
        while not select.select([number], [], [], LOOK_SECONDS)[0]:
            pass
        if not (part := os.read(number, CHUNK)):
            return
        copy.write(part)


def count_lines(file: IO[bytes]) -> int:
    """Return the lines of a file that stands at its beginning, whichever line ends it has."""
    lines, last = 0, b""
    while chunk := file.read(CHUNK):
        # A line end of two bytes may lie across two chunks.
        lines += chunk.count(b"\n") + chunk.count(b"\r") - (last + chunk).count(b"\r\n")
        last = chunk[-1:]
    file.seek(0)
    return lines + (last not in {b"", b"\n", b"\r"})


def check_format(file: IO[bytes]) -> None:
    """Look at the first bytes of a file that stands at its beginning.

    Raises:
        UnusableFile: it is a workbook, or UTF-16; says what to do.
    """
    head = file.read(LOOKED_AT)
    file.seek(0)
    if head.startswith(WORKBOOKS):
        raise UnusableFile(
            "this is a workbook (.xlsx or .xls) or another archive, no CSV file; open it in a spreadsheet and save it as 'CSV UTF-8'"
        )
    if head.startswith(UTF_16) or 0 < len(head) <= 3 * head.count(0):
        raise UnusableFile(
            "this is UTF-16 text; save it as 'CSV UTF-8', or convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW.csv"
        )
