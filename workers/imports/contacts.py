"""Contacts out of a CSV file, row by row: what spreadsheets save, in all their dialects.

UTF-8 with or without a byte order mark; comma, semicolon or tab, whichever fits the header. Python's csv module reads the records; a
broken one is refused with all the lines that it spans, and reading continues after it.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import TextIOWrapper
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, Self

from workers.imports.columns import ERROR_COLUMN, IGNORED, Columns, known_columns, suggested
from workers.imports.formulas import as_meant
from workers.imports.national_numbers import Country
from workers.imports.source import UnusableFile, check_format, count_lines, open_source

__all__ = ["ContactsFile", "Row", "columns_of"]

#: The longest header that is read, in characters: a file without line breaks must not fill the memory.
LONGEST_HEADER: Final = 64 * 1024
#: A line that some spreadsheets write above the header; it tells other spreadsheets the delimiter.
DELIMITER_LINE: Final = re.compile(r'"?sep=.?"?\s*', re.IGNORECASE)
NO_COLUMNS: Final = MappingProxyType[str, str]({})
STRAY_QUOTE: Final = "cannot be read as one contact: is a quote missing, or one too many?"


@dataclass(frozen=True, slots=True)
class Row:
    """A record of the file: the arguments that it gives, or the problem that it has."""

    #: The first and the last physical line; the header counts as a line, too.
    line: int
    last_line: int
    cells: list[str]
    arguments: dict[str, Any]
    problem: str | None = None
    #: The physical lines, if a stray quote has made one record of them.
    broken: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """Return the lines of the file that the row is in, in words."""
        one = self.line == self.last_line
        return f"line {self.line}" if one else f"lines {self.line} to {self.last_line}"


class ContactsFile:
    """An open file of contacts; a context manager.

    Numbers without `+` are those of the ``country``, if there is one. ``columns`` says of columns of the file what they hold: a known
    column's name, or IGNORED. Other unknown columns are left out with ``ignore_columns``.

    Raises:
        UnusableFile: the header is wrong.
        OSError: the file cannot be opened or read.
    """

    def __init__(
        self,
        path: Path,
        channel: str,
        *,
        country: Country | None = None,
        columns: Mapping[str, str] = NO_COLUMNS,
        ignore_columns: bool = False,
    ) -> None:
        self._country = country
        self._known = known_columns(channel)
        self._bytes = open_source(path)
        self.size = os.fstat(self._bytes.fileno()).st_size
        self._file = _text_of(self._bytes)
        try:
            check_format(self._bytes)
            lines = count_lines(self._bytes)
            header, self._before = _header_of(self._file)
            #: The file has at most this many rows: line breaks inside cells are counted, too.
            self.most_rows = max(lines - self._before, 0)
            self.columns = Columns.of(header, channel, columns, ignore=ignore_columns)
        except BaseException:
            self._file.close()
            raise
        #: Shows that a cell has swallowed another row: every row has delimiters, and every right row a number or an address.
        number = r"\+|^[\d ./()\-]{7,}\r?$" if channel == "sms" else "@"
        self._other_row = re.compile(f"{re.escape(self.columns.delimiter)}|{number}", re.MULTILINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def position(self) -> int:
        """Return about how many bytes have been read, for a progress bar."""
        return self._bytes.tell()

    def rows(self) -> Iterator[Row]:
        """Yield every row that is not empty. Each call starts at the first row."""
        self._file.seek(0)
        _header_of(self._file)
        record: list[str] = []
        reader = csv.reader(_noted(self._file, record), delimiter=self.columns.delimiter, strict=True)
        while True:
            record.clear()
            first = reader.line_num + self._before + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                last, lines = reader.line_num + self._before, _without_ends(record)
                yield Row(first, last, lines, {}, f"{STRAY_QUOTE} ({error})", tuple(lines))
                continue
            if any(cell.strip() for cell in cells):
                row = self._row(first, reader.line_num + self._before, cells)
                swallowed = row.problem and row.problem.startswith(STRAY_QUOTE)
                yield replace(row, broken=tuple(_without_ends(record))) if swallowed else row

    def _row(self, first: int, last: int, cells: list[str]) -> Row:
        arguments: dict[str, Any] = {}
        custom: dict[str, str] = {}
        extra = []
        problem = None
        for column, cell in zip_longest(self.columns.holds, cells, fillvalue=""):
            if not_text := _why_no_text(cell):
                problem = not_text
            elif last > first and self._swallows_rows(column, cell):
                problem = f"{STRAY_QUOTE} Names, numbers and addresses hold no line breaks"
            text = as_meant(cell.lstrip()).strip()
            if not text or column in {ERROR_COLUMN, IGNORED}:
                continue
            if not column:
                extra.append(text)
            elif self._known[column].isdecimal():
                custom[self._known[column]] = text
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
        """Return whether a stray quote made one cell of several rows. Custom fields and ignored cells may hold line breaks."""
        if "\n" not in cell and "\r" not in cell:
            return False
        may_hold = column == IGNORED or self._known.get(column, "").isdecimal()
        return not may_hold or self._other_row.search(cell) is not None


def columns_of(path: Path, channel: str) -> dict[str, str]:
    """Return the columns of a file, and what each holds by its name; "" if the name is not known.

    Raises:
        UnusableFile: it is not a CSV file, or its header is wrong.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        check_format(file)
        with _text_of(file) as text:
            header, _ = _header_of(text)
            return suggested(header, channel)


def _text_of(file: IO[bytes]) -> TextIOWrapper:
    # Bytes that are not UTF-8 become lone surrogates, so that one bad row is refused and the others go on.
    return TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _header_of(file: TextIOWrapper) -> tuple[str, int]:
    """Return the header, and the number of its line."""
    text, line = file.readline(LONGEST_HEADER), 1
    if DELIMITER_LINE.fullmatch(text):
        text, line = file.readline(LONGEST_HEADER), 2
    if problem := _why_no_text(text):
        raise UnusableFile(f"the header {problem}")
    if not text.strip():
        raise UnusableFile("there is no header; the first line must name the columns")
    return text, line


def _noted(lines: Iterable[str], record: list[str]) -> Iterator[str]:
    """Yield the lines, and note them in ``record``, so that a broken record can be kept as it was."""
    for line in lines:
        record.append(line)
        yield line


def _without_ends(lines: Iterable[str]) -> list[str]:
    # `splitlines` would also split at a form feed and at Unicode's own line ends, which end no line of a file.
    return [line.rstrip("\r\n") for line in lines]


def _why_no_text(text: str) -> str | None:
    """Return what is wrong with a text that has a NUL, or bytes that are not UTF-8, which `surrogateescape` made lone surrogates."""
    if "\0" in text:
        return "holds a NUL character, which is not text: take it out"
    if not text.isascii() and any("\udc80" <= c <= "\udcff" for c in text):
        return "is not UTF-8 text; save the file as 'CSV UTF-8'"
    return None
