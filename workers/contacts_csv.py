"""Contacts out of a CSV file, row by row in constant memory: what a spreadsheet saves, with all its dialects.

UTF-8 with or without a byte order mark; comma, semicolon or tab, told by the header; quoted line breaks. A row that cannot be parsed
takes nobody with it: only the physical line where it starts is refused, and parsing goes on with the next.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

__all__ = ["CUSTOM_COLUMNS", "ContactsFile", "Row", "UnusableFile"]

#: How the custom fields' columns are called, and how many there are; vendor's document, "Add contact".
CUSTOM_COLUMNS: Final = {"sms": ("customfield", 7), "email": ("custom", 10)}
#: The column that a file of refused rows has; ignored.
ERROR_COLUMN: Final = "error"
DELIMITERS: Final = ",;\t"
#: Characters of a physical line at most; a longer one is refused.
LONGEST_LINE: Final = 1024 * 1024
#: So much of it stands in the file of refused rows.
SHOWN_OF_A_LONG_LINE: Final = 200


class UnusableFile(Exception):  # noqa: N818 - says what the file is
    """The file cannot be imported as it is: mend it; nothing was enqueued unless rows were read before."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the arguments it gives, or the problem it has."""

    #: The physical line where it starts; the header's is 1.
    line: int
    cells: list[str]
    arguments: dict[str, Any]
    problem: str | None = None


class _Beginning(str):
    """The first characters of a line that is too long to be one of contacts; it must never be taken for a whole one."""

    __slots__ = ()


class _Lines:
    """Physical lines, with those of the record under way remembered, so that they can be read again."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._again: deque[str] = deque()
        self.record: list[str] = []
        #: The number of the last line handed out.
        self.number = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        self.record.append(line)
        if isinstance(line, _Beginning):
            raise csv.Error(f"it is longer than {LONGEST_LINE:,} characters")
        return str(line)

    def _read(self) -> str:
        line: str = self._file.readline(LONGEST_LINE)
        if len(line) < LONGEST_LINE:
            return line
        rest = line
        while rest and not rest.endswith(("\n", "\r")):
            rest = self._file.readline(LONGEST_LINE)
        return _Beginning(line[:SHOWN_OF_A_LONG_LINE])

    def reread_all_but_first(self) -> str:
        """Takes back the lines of the record under way, all but its first, which is answered."""
        first, *others = self.record
        self._again.extendleft(reversed(others))
        self.number -= len(others)
        return first


class ContactsFile:
    """An open file of contacts; a context manager.

    Raises:
        UnusableFile: from the constructor when the header is wrong, from ``rows`` when this is no text file after all.
        OSError: it cannot be opened or read.
    """

    def __init__(self, path: Path, channel: str) -> None:
        self._identifying = "phone" if channel == "sms" else "email"
        prefix, most = CUSTOM_COLUMNS[channel]
        self._custom = {f"{prefix}{number}": str(number) for number in range(1, most + 1)}
        self._known = [self._identifying, "first_name", "last_name", *self._custom]
        self._channel = channel
        self.size = path.stat().st_size
        # What is not UTF-8 comes as lone surrogates, so that one bad row is refused and the others go on.
        self._bytes = path.open("rb")
        self._file = TextIOWrapper(self._bytes, encoding="utf-8-sig", errors="surrogateescape", newline="")
        try:
            self._lines = _Lines(self._file)
            self.header, self.delimiter = self._read_header()
            self._columns = self._check_header()
        except BaseException:
            self._file.close()
            raise
        self._reader = csv.reader(self._lines, delimiter=self.delimiter, strict=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def position(self) -> int:
        """About how many bytes have been read; for a progress bar."""
        return self._bytes.tell()

    def rows(self) -> Iterator[Row]:
        """Every row that has anything in it."""
        while True:
            self._lines.record.clear()
            line = self._lines.number + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                text = self._lines.reread_all_but_first()
                why = str(error) if isinstance(text, _Beginning) else f"is a quote missing? ({error})"
                yield Row(line, [text.rstrip("\r\n")], {}, f"the line cannot be parsed: {why}")
                continue
            if any(cell.strip() for cell in cells):
                yield self._row(line, cells)

    def _row(self, line: int, cells: list[str]) -> Row:
        arguments: dict[str, Any] = {}
        custom: dict[str, str] = {}
        stray = []
        for at, cell in enumerate(cells):
            text = cell.strip()
            if not text:
                continue
            column = self._columns[at] if at < len(self._columns) else ""
            if number := self._custom.get(column):
                custom[number] = text
            elif column == "":
                stray.append(text)
            elif column != ERROR_COLUMN:
                arguments[column] = text
        if custom:
            arguments["custom_fields"] = custom
        problem = None
        if any(_is_not_utf8(cell) for cell in cells):
            problem = "is not UTF-8 text; save the file as 'CSV UTF-8'"
        elif stray:
            problem = f"has {len(stray)} more cells than the header has names: {', '.join(stray)[:200]}"
        return Row(line, cells, arguments, problem)

    def _read_header(self) -> tuple[list[str], str]:
        best: tuple[int, list[str], str] | None = None
        # A header may have quoted names, but no line breaks.
        try:
            text = next(self._lines, "")
        except csv.Error as error:
            raise UnusableFile(f"line 1, the header, cannot be parsed: {error}") from None
        if _is_not_utf8(text) or "\0" in text:
            raise UnusableFile("the header is not UTF-8 text; save the file as 'CSV UTF-8'")
        if not text.strip():
            raise UnusableFile("there is no header; the first line must name the columns")
        for delimiter in DELIMITERS:
            try:
                names = [
                    cell.strip().lower()
                    for cell in next(csv.reader([text], delimiter=delimiter, strict=True))
                ]
            except csv.Error:
                continue
            fits = sum(name in self._known for name in names)
            if best is None or fits > best[0]:
                best = fits, names, delimiter
        if best is None:
            raise UnusableFile("line 1, the header, cannot be parsed")
        return best[1], best[2]

    def _check_header(self) -> list[str]:
        known = ", ".join(self._known)
        if unknown := [
            name for name in self.header if name and name != ERROR_COLUMN and name not in self._known
        ]:
            raise UnusableFile(
                f"unknown columns: {', '.join(unknown)[:300]}; for channel '{self._channel}' these are known: {known}"
            )
        if twice := sorted({name for name in self.header if name and self.header.count(name) > 1}):
            raise UnusableFile(f"columns named twice: {', '.join(twice)}")
        if self._identifying not in self.header:
            raise UnusableFile(f"there is no column '{self._identifying}'; known are {known}")
        return self.header


def _is_not_utf8(text: str) -> bool:
    """Did it hold bytes that are no UTF-8? Python's error handler `surrogateescape` tells by lone surrogates."""
    return not text.isascii() and any("\udc80" <= c <= "\udcff" for c in text)
