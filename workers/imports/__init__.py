"""Imports of contacts: a file is read, its rows become jobs of one batch, and their answers are followed. Prints nothing."""

from workers.imports.contacts import ContactsFile, Row
from workers.imports.kept_rows import RefusedFile
from workers.imports.pace import BULK, SURE_SHARE, ImportTime
from workers.imports.run import ImportRun, Stopped, Tally, Watcher
from workers.imports.source import STDIN, UnusableFile

__all__ = [
    "BULK",
    "STDIN",
    "SURE_SHARE",
    "ContactsFile",
    "ImportRun",
    "ImportTime",
    "RefusedFile",
    "Row",
    "Stopped",
    "Tally",
    "UnusableFile",
    "Watcher",
]
