"""What each column of a file of contacts holds: its name shows that, or somebody says so."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from coupontools import SPELLING, Channel
from workers.imports.formulas import as_meant
from workers.imports.source import UnusableFile

__all__ = ["ERROR_COLUMN", "IGNORED", "Columns", "known_columns", "same_name", "suggested"]

#: The column that a file of refused rows has; ignored here.
ERROR_COLUMN: Final = "error"
#: Marks a column that is left out.
IGNORED: Final = "(ignored)"
DELIMITERS: Final = ",;\t"
#: A number or an address: if a file has no header, its first contact is in the header's place.
_CONTACT: Final = re.compile(r"[^@\s]+@[^@\s]+|\+?(?:[\s()./-]*[0-9]){7,}[\s()./-]*")


def known_columns(channel: str) -> dict[str, str]:
    """Return for each known column the argument that it holds, or the number of its custom field; the number or address comes first.

    Raises:
        ValueError: there is no such channel.
    """
    spelling = SPELLING[Channel(channel)]
    named = {name: name for name in (spelling.address, "first_name", "last_name")}
    return named | {column: number for number, column in spelling.custom.items()}


def same_name(name: str) -> str:
    """Return the form in which names of columns are compared."""
    return as_meant(name.strip()).strip().lower()


@dataclass(frozen=True, slots=True)
class Columns:
    """The header of a file."""

    #: The names as they are in the file.
    names: list[str]
    #: What each column holds: a known column's name, ERROR_COLUMN, IGNORED, or "" if it has no name.
    holds: list[str]
    delimiter: str

    @classmethod
    def of(cls, header: str, channel: str, given: Mapping[str, str], *, ignore: bool) -> Columns:
        """Read the header line. ``given`` says of columns of the file what they hold: a known column's name, or IGNORED.

        Other unknown columns are ignored with ``ignore``.

        Raises:
            UnusableFile: says what is wrong with the header.
        """
        known = known_columns(channel)
        # If ``given`` says which column is the phone, a column that the file itself calls phone is an unknown one.
        meaning = {name: name for name in (*known, ERROR_COLUMN, "") if name not in given.values()}
        meaning |= {same_name(name): holds for name, holds in given.items()}
        names, delimiter = _split(header, meaning)
        found = [same_name(name) for name in names]
        told = ", ".join(name for name in names if name)[:300]
        if absent := [name for name in given if same_name(name) not in found]:
            raise UnusableFile(f"there is no column '{', '.join(absent)}'; the file has: {told}")
        unknown = [name for name, form in zip(names, found, strict=True) if form not in meaning]
        if unknown and not ignore:
            raise UnusableFile(
                f"unknown columns: {', '.join(unknown)[:300]}; for channel '{channel}' these are known: {', '.join(known)}. "
                "Say with --column what a column holds, or leave unknown ones out with --ignore-columns"
            )
        if twice := sorted(
            {
                form
                for form in found
                if meaning.get(form, IGNORED) != IGNORED and form and found.count(form) > 1
            }
        ):
            raise UnusableFile(f"columns named twice: {', '.join(twice)}")
        holds = [meaning.get(form, IGNORED) for form in found]
        identifying = next(iter(known))
        if identifying not in holds:
            raise UnusableFile(
                f"there is no column '{identifying}'; the file has: {told}. "
                f"If one of them holds it: --column {identifying}=NAME"
            )
        name = names[holds.index(identifying)]
        if _CONTACT.fullmatch(same_name(name)):
            raise UnusableFile(
                f"the first line must name the columns, and '{name[:100]}' is a contact, who would be left out: "
                f"put a line above it, such as {identifying},first_name"
            )
        return cls(names, holds, delimiter)


def suggested(header: str, channel: str) -> dict[str, str]:
    """Return the columns of a file, and what each holds by its name; "" if the name is not known.

    Raises:
        UnusableFile: the header cannot be read, or names nothing.
    """
    known = known_columns(channel)
    names, _ = _split(header, known | {ERROR_COLUMN: IGNORED})
    return {
        name: form if (form := same_name(name)) in known else IGNORED if form == ERROR_COLUMN else ""
        for name in names
        if name
    }


def _split(header: str, known: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the names of the columns and the delimiter that makes most of them known, or else most columns."""
    candidates = []
    for delimiter in DELIMITERS:
        try:
            names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter, strict=True))]
        except csv.Error:
            continue
        candidates.append(
            (sum(same_name(name) in known for name in names if name), len(names), names, delimiter)
        )
    if not candidates:
        raise UnusableFile(
            "the header cannot be read: is a quote missing, or one too many? Names of columns hold no line breaks"
        )
    *_, names, delimiter = max(candidates, key=lambda candidate: candidate[:2])
    return names, delimiter
