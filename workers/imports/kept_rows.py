"""CSV files of contacts that were refused or failed, each with the reason: for people to mend and import again."""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

import orjson

from config.plain import plain
from workers.broker import DeadLetter
from workers.imports.columns import ERROR_COLUMN, Columns, known_columns, same_name
from workers.imports.contacts import Row
from workers.imports.formulas import as_text
from workers.imports.source import is_stream

__all__ = ["FailedFile", "KeptRows", "free_name"]


def free_name(source: Path, kind: str) -> Path:
    """Return ``FILE.<kind>.csv`` beside ``FILE.csv``, or the first of ``FILE.<kind>-2.csv``, ``-3`` ... that does not exist yet.

    For a stream it is ``stdin.<kind>.csv`` in the working directory.
    """
    if is_stream(source):
        source = Path("stdin.csv")
    first = source.with_suffix(f".{kind}.csv")
    numbered = (source.with_suffix(f".{kind}-{number}.csv") for number in itertools.count(2))
    # A link that leads nowhere takes a name, too.
    return next(path for path in itertools.chain([first], numbered) if not os.path.lexists(path))


class _PrivateCsv:
    """A file that is created with its first row. Nobody but its owner may read the numbers and names in it, and a spreadsheet runs no cell.

    If the file exists by then, ``instead`` is asked for another name: two imports of one file may run at once.

    Raises:
        OSError: from ``_write`` or at the end, with the file's name: it cannot be created (it exists by now, the folder is read-only) or
            written.
    """

    def __init__(
        self, path: Path | None, delimiter: str = ",", instead: Callable[[], Path] | None = None
    ) -> None:
        self.path = path
        self._delimiter = delimiter
        self._instead = instead
        self._file: IO[str] | None = None
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is still in memory; after this, no row can be added."""
        if self._file is not None:
            with self._named():
                self._file.close()

    @property
    def created(self) -> bool:
        """Return whether any row was written."""
        return self._file is not None

    def _write(self, header: Iterable[str], cells: Iterable[str]) -> None:
        """Write one row; before the first one, its header. Without a path, nothing is kept."""
        if self.path is None:
            return
        with self._named():
            if self._file is None:
                number = self._create(self.path)
                self._file = os.fdopen(number, "w", encoding="utf-8", errors="surrogateescape", newline="")
                self._writer = csv.writer(self._file, delimiter=self._delimiter)
                self._writer.writerow([as_text(name) for name in header])
            self._writer.writerow([as_text(cell) for cell in cells])

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name this file in an error: that of a full disk names no file, and would be told of the file that is imported."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _create(self, path: Path) -> int:
        try:
            # O_EXCL: never overwrite a file.
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if self._instead is None or (other := self._instead()) == path:
                raise
            return self._create(other)
        self.path = path
        return number


class KeptRows(_PrivateCsv):
    """Rows of a file: the header of that file and a last column `error`. Without a ``path``, nothing is kept."""

    def __init__(
        self, path: Path | None, columns: Columns, instead: Callable[[], Path] | None = None
    ) -> None:
        super().__init__(path, columns.delimiter, instead)
        self._kept = [at for at, name in enumerate(columns.names) if same_name(name) != ERROR_COLUMN]
        self._columns = len(columns.names)
        self._header = [*(columns.names[at] for at in self._kept), ERROR_COLUMN]

    def add(self, row: Row, problem: str) -> int:
        """Write one row as it was, and why it is kept; a broken record line by line. Return how many rows that makes.

        Cells beyond the named columns come last, so that nothing is lost.
        """
        rows = [cells for line in row.broken if (cells := self._cells(line))] or [row.cells]
        for cells in rows:
            kept = [cells[at] if at < len(cells) else "" for at in self._kept]
            self._write(self._header, [*kept, _as_reason(problem), *cells[self._columns :]])
        return len(rows)

    def _cells(self, line: str) -> list[str]:
        """Return the cells of one line of a broken record. The line with the stray quote stays whole, for somebody to mend."""
        try:
            return next(csv.reader([line], delimiter=self._delimiter, strict=True), [])
        except csv.Error:
            whole = [""] * (self._kept[0] + 1)
            whole[self._kept[0]] = line
            return whole


class FailedFile(_PrivateCsv):
    """Contacts of dead letters: the columns that `import` knows, and a last column `error`."""

    rows = 0

    def add(self, letter: DeadLetter, body: bytes) -> None:
        """Write the contact of one dead letter, and why it failed.

        Raises:
            FileExistsError: the file exists.
        """
        try:
            arguments = orjson.loads(body)["kwargs"]
            columns = known_columns(arguments["channel"])
            to = arguments.get("phone") or arguments.get("email") or ""
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if letter.job != "add_contact" or not isinstance(to, str):
            return
        custom = arguments.get("custom_fields")
        identifying, *others = columns.values()
        given = {**(custom if isinstance(custom, dict) else {}), **arguments, identifying: to}
        cells = [_cell(given.get(name)) for name in (identifying, *others)]
        self._write([*columns, ERROR_COLUMN], [*cells, _as_reason(f"{letter.kind}: {letter.message}")])
        self.rows += 1


def _cell(value: object) -> str:
    """Return the text of a cell; "" for a list or an object, which may be nested too deeply to be written."""
    return "" if not value or isinstance(value, dict | list) else str(value)


def _as_reason(text: str) -> str:
    """Return why a row is kept, in one line: the API's texts may hold line breaks, which `import` takes for a missing quote, and NUL."""
    return plain(" ".join(text.split()))
