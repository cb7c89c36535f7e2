"""The rows that an import refused, or that failed, as a CSV file that can be mended and imported again."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

from workers.imports.columns import ERROR_COLUMN, Columns, same_name
from workers.imports.contacts import Row
from workers.imports.private_csv import PrivateCsv
from workers.imports.source import is_stream

__all__ = ["KeptRows", "free_name"]


def free_name(source: Path, kind: str) -> Path:
    """Return ``FILE.<kind>.csv`` beside ``FILE.csv``, or the first of ``FILE.<kind>-2.csv``, ``-3`` ... that does not exist yet.

    For a stream it is ``stdin.<kind>.csv`` in the working directory.
    """
    if is_stream(source):
        source = Path("stdin.csv")
    plain = source.with_suffix(f".{kind}.csv")
    numbered = (source.with_suffix(f".{kind}-{number}.csv") for number in itertools.count(2))
    return next(path for path in itertools.chain([plain], numbered) if not path.exists())


class KeptRows(PrivateCsv):
    """A file with the header of the source and a last column `error`. Without a ``path``, nothing is kept."""

    def __init__(self, path: Path | None, columns: Columns) -> None:
        super().__init__(path, columns.delimiter)
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
            self.write(self._header, [*kept, problem, *cells[self._columns :]])
        return len(rows)

    def _cells(self, line: str) -> list[str]:
        """Return the cells of one line of a broken record. The line with the stray quote stays whole, for somebody to mend."""
        try:
            return next(csv.reader([line], delimiter=self._delimiter, strict=True), [])
        except csv.Error:
            whole = [""] * (self._kept[0] + 1)
            whole[self._kept[0]] = line
            return whole
