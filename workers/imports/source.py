"""The bytes of a file of contacts, wherever they come from, and the errors for a file that is not CSV."""

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
#: The first bytes of workbooks: a zip archive (.xlsx), and the older format (.xls).
WORKBOOKS: Final = (b"PK\x03\x04", bytes.fromhex("d0cf11e0a1b11ae1"))
UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: How many bytes are looked at to see whether a file without a byte order mark is UTF-16: then half of them are NUL.
LOOKED_AT: Final = 64
CHUNK: Final = 2**20
#: How often a wait for a stream looks whether a signal has come, in seconds.
LOOK_SECONDS = 0.5


class UnusableFile(Exception):  # noqa: N818 - says what the file is
    """The file cannot be imported as it is: mend it. Nothing was enqueued."""


def is_stream(path: Path) -> bool:
    """Return whether the file can be read only once: standard input or a pipe."""
    return path == STDIN or not path.is_file()


def open_source(path: Path) -> IO[bytes]:
    """Open a file, or a copy of a stream: the rows are counted first, because their number decides how long the jobs may wait.

    Raises:
        OSError: it cannot be opened, read or copied.
    """
    if not is_stream(path):
        return path.open("rb")
    # The copy has no name, so nobody else can read it, and it is gone when the import ends.
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
    """Copy a stream to its end. Ctrl-C ends the wait for more of it."""
    try:
        number = stream.fileno()
    except OSError:
        shutil.copyfileobj(stream, copy)
        return
    while True:
        # A signal that comes just before a read begins is only handled when the read ends, and that may take any time.
        while not select.select([number], [], [], LOOK_SECONDS)[0]:
            pass
        if not (part := os.read(number, CHUNK)):
            return
        copy.write(part)


def count_lines(file: IO[bytes]) -> int:
    """Return the number of lines of a file that is at its beginning, whichever line ends it has."""
    lines, last = 0, b""
    while chunk := file.read(CHUNK):
        # A line end of two bytes may be split between two chunks.
        lines += chunk.count(b"\n") + chunk.count(b"\r") - (last + chunk).count(b"\r\n")
        last = chunk[-1:]
    file.seek(0)
    return lines + (last not in {b"", b"\n", b"\r"})


def check_format(file: IO[bytes]) -> None:
    """Look at the first bytes of a file that is at its beginning.

    Raises:
        UnusableFile: it is a workbook, or UTF-16; the message says what to do.
    """
    head = file.read(LOOKED_AT)
    file.seek(0)
    if head.startswith(WORKBOOKS):
        raise UnusableFile(
            "this is a workbook (.xlsx or .xls) or another archive, not a CSV file; open it in a spreadsheet and save it as 'CSV UTF-8'"
        )
    if head.startswith(UTF_16) or 0 < len(head) <= 3 * head.count(0):
        raise UnusableFile(
            "this is UTF-16 text; save it as 'CSV UTF-8', or convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW.csv"
        )
