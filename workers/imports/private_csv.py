"""A CSV file for people to mend, created with its first row."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from workers.imports.formulas import as_text

__all__ = ["PrivateCsv"]


class PrivateCsv:
    """Holds people's numbers and names: nobody but its owner may read it. A spreadsheet runs none of its cells.

    Raises:
        OSError: from ``write``, the file cannot be created (it exists by now, the folder is read-only) or written.
    """

    def __init__(self, path: Path | None, delimiter: str = ",") -> None:
        self.path = path
        self._delimiter = delimiter
        self._file: IO[str] | None = None
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
        """Return whether any row was written."""
        return self._file is not None

    def write(self, header: Iterable[str], cells: Iterable[str]) -> None:
        """Write one row; before the first one, its header. Without a path, nothing is kept."""
        if self.path is None:
            return
        if self._file is None:
            # O_EXCL: never overwrite a file.
            number = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(number, "w", encoding="utf-8", errors="surrogateescape", newline="")
            self._writer = csv.writer(self._file, delimiter=self._delimiter)
            self._writer.writerow([as_text(name) for name in header])
        self._writer.writerow([as_text(cell) for cell in cells])
