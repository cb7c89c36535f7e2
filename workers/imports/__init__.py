"""Imports of contacts: a file is read, its rows become jobs of one batch, and their answers are followed. Prints nothing."""

from workers.imports.by_job import NotAnswered, answers_of
from workers.imports.columns import IGNORED, known_columns, same_name
from workers.imports.contacts import ContactsFile, columns_of
from workers.imports.kept_rows import FailedFile, KeptRows, free_name
from workers.imports.options import WrongOption, constant_arguments, country_of_numbers
from workers.imports.pace import BULK, ImportTime, duration
from workers.imports.people import People, Person
from workers.imports.present import NotListed
from workers.imports.progress import Answers, BatchCancelled, Stopped, Tally
from workers.imports.source import STDIN, UnusableFile
from workers.imports.whole import Import

__all__ = [
    "BULK",
    "IGNORED",
    "STDIN",
    "Answers",
    "BatchCancelled",
    "ContactsFile",
    "FailedFile",
    "Import",
    "ImportTime",
    "KeptRows",
    "NotAnswered",
    "NotListed",
    "People",
    "Person",
    "Stopped",
    "Tally",
    "UnusableFile",
    "WrongOption",
    "answers_of",
    "columns_of",
    "constant_arguments",
    "country_of_numbers",
    "duration",
    "free_name",
    "known_columns",
    "same_name",
]
