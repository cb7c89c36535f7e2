"""Contacts out of a CSV file, row by row: what spreadsheets save, in all their dialects.

UTF-8 with or without a byte order mark; comma, semicolon or tab, whichever fits the header. Python's csv module reads the records; a
broken one is refused with all the lines that it spans, and reading goes on behind it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import TextIOWrapper
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from workers.national_numbers import Country

__all__ = ["ERROR_COLUMN", "ContactsFile", "Row", "UnusableFile"]

#: The name of the custom fields' columns, and how many there are; vendor's document, "Add contact".
CUSTOM_COLUMNS: Final = {"sms": ("customfield", 7), "email": ("custom", 10)}
#: The column that a file of refused rows has; ignored here.
ERROR_COLUMN: Final = "error"
DELIMITERS: Final = ",;\t"
#: The longest header that is read, in characters: a file without line breaks must not fill the memory.
LONGEST_HEADER: Final = 64 * 1024
STRAY_QUOTE: Final = "cannot be read as one contact: is a quote missing, or one too many?"


class UnusableFile(Exception):  # noqa: N818 - says what the file is
    """The file cannot be imported as it is: mend it. Nothing was enqueued."""


@dataclass(frozen=True, slots=True)
class Row:
    """A record of the file: the arguments that it gives, or the problem that it has."""

    #: The first and the last physical line; the header's is 1.
    line: int
    last_line: int
    cells: list[str]
    arguments: dict[str, Any]
    problem: str | None = None
    #: The physical lines of a record that a stray quote has made of them.
    broken: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """Return the lines of the file where it stands."""
        one = self.line == self.last_line
        return f"line {self.line}" if one else f"lines {self.line} to {self.last_line}"


class ContactsFile:
    """An open file of contacts; a context manager. Numbers without `+` are those of the ``country``, if there is one.

    Raises:
        UnusableFile: the header is wrong.
        OSError: the file cannot be opened or read.
    """

    def __init__(self, path: Path, channel: str, country: Country | None = None) -> None:
        self._country = country
        self._identifying, mark = ("phone", "+") if channel == "sms" else ("email", "@")
        prefix, count = CUSTOM_COLUMNS[channel]
        self._custom = {f"{prefix}{number}": str(number) for number in range(1, count + 1)}
        self._known = [self._identifying, "first_name", "last_name", *self._custom]
        self.size = path.stat().st_size
        self._bytes = path.open("rb")
        # Bytes that are no UTF-8 become lone surrogates, so that one bad row is refused and the others go on.
        self._file = TextIOWrapper(self._bytes, encoding="utf-8-sig", errors="surrogateescape", newline="")
        try:
            self.header, self.delimiter = self._read_header()
            self._check_header(channel)
        except BaseException:
            self._file.close()
            raise
        #: What only another row holds: every row has delimiters, and every right one a number or an address.
        self._marks = (self.delimiter, mark)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def position(self) -> int:
        """Return about how many bytes have been read, for a progress bar."""
        return self._bytes.tell()

    def rows(self) -> Iterator[Row]:
        """Yield every row that has anything in it."""
        record: list[str] = []
        reader = csv.reader(_noted(self._file, record), delimiter=self.delimiter, strict=True)
        while True:
            record.clear()
            first = reader.line_num + 2
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                last, lines = reader.line_num + 1, "".join(record).splitlines()
                yield Row(first, last, lines, {}, f"{STRAY_QUOTE} ({error})", tuple(lines))
                continue
            if any(cell.strip() for cell in cells):
                row = self._row(first, reader.line_num + 1, cells)
                swallowed = row.problem and row.problem.startswith(STRAY_QUOTE)
                yield replace(row, broken=tuple("".join(record).splitlines())) if swallowed else row

    def _row(self, first: int, last: int, cells: list[str]) -> Row:
        arguments: dict[str, Any] = {}
        custom: dict[str, str] = {}
        extra = []
        problem = None
        for column, cell in zip_longest(self.header, cells, fillvalue=""):
            if _is_no_text(cell):
                problem = "is not UTF-8 text; save the file as 'CSV UTF-8'"
            elif last > first and self._swallows_rows(column, cell):
                problem = f"{STRAY_QUOTE} Names, numbers and addresses hold no line breaks"
            text = cell.strip()
            if not text or column == ERROR_COLUMN:
                continue
            if not column:
                extra.append(text)
            elif column in self._custom:
                custom[self._custom[column]] = text
            else:
                arguments[column] = text
        if custom:
            arguments["custom_fields"] = custom
        if extra and not problem:
            problem = f"has {len(extra)} more cells than the header has names: {', '.join(extra)[:200]}"
        problem = problem or self._make_international(arguments)
        return Row(first, last, cells, arguments, problem)

    def _make_international(self, arguments: dict[str, Any]) -> str | None:
        """Write the number with its `+`; return the problem that it has."""
        if self._country and "phone" in arguments:
            try:
                arguments["phone"] = self._country.international(arguments["phone"])
            except ValueError as error:
                return f"phone: {error}"
        return None

    def _swallows_rows(self, column: str, cell: str) -> bool:
        """Return whether a stray quote made one cell of several rows. A custom field may hold line breaks of its own."""
        if "\n" not in cell and "\r" not in cell:
            return False
        return column not in self._custom or any(mark in cell for mark in self._marks)

    def _read_header(self) -> tuple[list[str], str]:
        text = self._file.readline(LONGEST_HEADER)
        if _is_no_text(text):
            raise UnusableFile("the header is not UTF-8 text; save the file as 'CSV UTF-8'")
        if not text.strip():
            raise UnusableFile("there is no header; the first line must name the columns")
        candidates = []
        for delimiter in DELIMITERS:
            names = [name.strip().lower() for name in next(csv.reader([text], delimiter=delimiter))]
            candidates.append((sum(name in self._known for name in names), names, delimiter))
        _, names, delimiter = max(candidates, key=lambda candidate: candidate[0])
        return names, delimiter

    def _check_header(self, channel: str) -> None:
        known = ", ".join(self._known)
        names = [name for name in self.header if name]
        if unknown := [name for name in names if name not in self._known and name != ERROR_COLUMN]:
            told = ", ".join(unknown)[:300]
            raise UnusableFile(f"unknown columns: {told}; for channel '{channel}' these are known: {known}")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UnusableFile(f"columns named twice: {', '.join(twice)}")
        if self._identifying not in names:
            raise UnusableFile(f"there is no column '{self._identifying}'; known are {known}")


def _noted(lines: Iterable[str], record: list[str]) -> Iterator[str]:
    """Yield the lines, and note them in ``record``, so that a broken record can be kept as it was."""
    for line in lines:
        record.append(line)
        yield line


def _is_no_text(text: str) -> bool:
    """Return whether it holds a NUL, or bytes that are no UTF-8, which `surrogateescape` turned into lone surrogates."""
    return "\0" in text or (not text.isascii() and any("\udc80" <= c <= "\udcff" for c in text))
