"""The rows an import refused, as a CSV file that can be mended and imported again."""

from __future__ import annotations

import csv
import itertools
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from workers.contacts_csv import Row
from workers.csv_columns import ERROR_COLUMN, Columns, same_name
from workers.csv_formulas import as_text
from workers.csv_source import is_stream

__all__ = ["RefusedFile", "free_name"]


def free_name(source: Path) -> Path:
    """Return ``FILE.refused.csv`` beside ``FILE.csv``, or the first of ``FILE.refused-2.csv``, ``-3`` ... that does not exist yet.

    Of a stream it is ``stdin.refused.csv`` in the working directory.
    """
    if is_stream(source):
        source = Path("stdin.csv")
    plain = source.with_suffix(".refused.csv")
    numbered = (source.with_suffix(f".refused-{number}.csv") for number in itertools.count(2))
    return next(path for path in itertools.chain([plain], numbered) if not path.exists())


class RefusedFile:
    """A file with the header of the source and a last column `error`. The first refused row creates it, never over a file that exists.

    Without a ``path``, nothing is kept.

    Raises:
        OSError: from ``add``, the file cannot be created (it exists by now, the folder is read-only) or written.
    """

    def __init__(self, path: Path | None, columns: Columns) -> None:
        self.path = path
        self._kept = [at for at, name in enumerate(columns.names) if same_name(name) != ERROR_COLUMN]
        self._columns = len(columns.names)
        self._header = [columns.names[at] for at in self._kept]
        self._delimiter = columns.delimiter
        self._file: Any = None
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def created(self) -> bool:
        """Return whether any row was refused."""
        return self._file is not None

    def add(self, row: Row, problem: str) -> int:
        """Write one row as it was, and why it was refused; of a broken record each line. Return how many rows that makes.

        Cells that no column has a name for come last, so that nothing is lost.
        """
        rows = [cells for line in row.broken if (cells := self._cells(line))] or [row.cells]
        if self.path is None:
            return len(rows)
        if self._file is None:
            # It holds people's numbers and names: nobody but its owner may read it.
            number = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(number, "w", encoding="utf-8", errors="surrogateescape", newline="")
            self._writer = csv.writer(self._file, delimiter=self._delimiter)
            self._write([*self._header, ERROR_COLUMN])
        for cells in rows:
            kept = [cells[at] if at < len(cells) else "" for at in self._kept]
            self._write([*kept, problem, *cells[self._columns :]])
        return len(rows)

    def _write(self, cells: list[str]) -> None:
        self._writer.writerow([as_text(cell) for cell in cells])

    def _cells(self, line: str) -> list[str]:
        """Return the cells of one line of a broken record. The line with the stray quote stays whole, for somebody to mend."""
        try:
            return next(csv.reader([line], delimiter=self._delimiter, strict=True), [])
        except csv.Error:
            whole = [""] * (self._kept[0] + 1)
            whole[self._kept[0]] = line
            return whole
