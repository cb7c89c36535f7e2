"""The contacts that could not be added, as a CSV file that `import` reads again."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from workers.broker import DeadLetter
from workers.csv_columns import ERROR_COLUMN

__all__ = ["FailedFile", "harmless"]

#: What a spreadsheet would run as a formula.
_FORMULA = ("=", "@", "-", "+", "\t", "\r")


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet runs: an apostrophe stands before what would be a formula. Plain numbers stay as they are."""
    if (
        not cell.startswith(_FORMULA)
        or cell.removeprefix("+").removeprefix("-").replace(".", "", 1).isdigit()
    ):
        return cell
    return f"'{cell}"


class FailedFile:
    """Created with its first row; never over a file that exists."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.TextIOBase | None = None
        self._writer: Any = None
        self._channel = ""
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, letter: DeadLetter, body: bytes) -> None:
        """Write the contact of one dead letter, and why it failed.

        Raises:
            FileExistsError: the file exists.
        """
        try:
            arguments = orjson.loads(body)["kwargs"]
            channel, to = arguments["channel"], arguments.get("phone") or arguments.get("email") or ""
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return
        if letter.job != "add_contact" or not isinstance(to, str):
            return
        fields = 7 if channel == "sms" else 10
        custom = arguments.get("custom_fields")
        given = custom if isinstance(custom, dict) else {}
        row = [to, arguments.get("first_name") or "", arguments.get("last_name") or ""]
        row += [str(given.get(str(number), "")) for number in range(1, fields + 1)]
        if self._writer is None:
            self._open(channel, fields)
        self._writer.writerow([harmless(str(cell)) for cell in (*row, f"{letter.kind}: {letter.message}")])
        self.rows += 1

    def _open(self, channel: str, fields: int) -> None:
        # People's numbers and names: nobody else on this machine may read them.
        number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(number, "w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        name = "customfield" if channel == "sms" else "custom"
        to = "phone" if channel == "sms" else "email"
        self._writer.writerow(
            [to, "first_name", "last_name", *(f"{name}{n}" for n in range(1, fields + 1)), ERROR_COLUMN]
        )
