"""The contacts that could not be added, as a CSV file that `import` reads again."""

from __future__ import annotations

import orjson

from workers.broker import DeadLetter
from workers.imports.columns import ERROR_COLUMN, known_columns
from workers.imports.private_csv import PrivateCsv

__all__ = ["FailedFile"]


class FailedFile(PrivateCsv):
    """The columns that `import` knows, and a last column `error`."""

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
        self.write([*columns, ERROR_COLUMN], [*cells, f"{letter.kind}: {letter.message}"])
        self.rows += 1


def _cell(value: object) -> str:
    """Return the text of a cell; "" for a list or an object, which may be nested too deeply to be written."""
    return "" if not value or isinstance(value, dict | list) else str(value)
