"""What each column of a file of contacts holds: by its own name, or by the name that somebody says it has."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from coupontools import SPELLING, Channel
from workers.imports.formulas import as_meant
from workers.imports.source import UnusableFile

__all__ = ["ERROR_COLUMN", "IGNORED", "Columns", "known_columns", "same_name", "suggested"]

#: The column that a file of refused rows has; ignored here.
ERROR_COLUMN: Final = "error"
#: What a column holds that is to be left out.
IGNORED: Final = "(ignored)"
DELIMITERS: Final = ",;\t"
#: A number or an address: of a file without a header, the first contact stands where the names should.
_CONTACT: Final = re.compile(r"[^@\s]+@[^@\s]+|\+?(?:[\s()./-]*[0-9]){7,}[\s()./-]*")


def known_columns(channel: str) -> dict[str, str]:
    """Return the argument that each known column holds, the number or the address first; of a custom field, its number.

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

    #: The names as they stand in the file.
    names: list[str]
    #: What each column holds: a known column's name, ERROR_COLUMN, IGNORED, or nothing where it has no name.
    holds: list[str]
    delimiter: str

    @classmethod
    def of(
        cls,
        header: str,
        channel: str,
        given: Mapping[str, str],
        *,
        ignore: bool,
        left_out: Collection[str] = (),
    ) -> Columns:
        """Read the header line. ``given`` names columns of the file by what they hold; unknown ones are ignored if they may be.

        ``left_out`` names columns of the file that are ignored in any case.

        Raises:
            UnusableFile: says what is wrong with the header.
        """
        known = known_columns(channel)
        own_names = {same_name(name): column for column, name in given.items()}
        # A column that is given takes the place of one that has its name.
        meaning = {name: name for name in (*known, ERROR_COLUMN, "") if name not in given} | own_names
        meaning |= {same_name(name): IGNORED for name in left_out}
        names, delimiter = _split(header, meaning)
        found = [same_name(name) for name in names]
        told = ", ".join(name for name in names if name)[:300]
        if absent := [name for name in given.values() if same_name(name) not in found]:
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
        if (name := given.get(identifying)) and _CONTACT.fullmatch(same_name(name)):
            raise UnusableFile(
                f"the first line must name the columns, and '{name.strip()[:100]}' is a contact, who would be left out: "
                f"put a line above it, such as {identifying},first_name"
            )
        if identifying not in holds:
            raise UnusableFile(
                f"there is no column '{identifying}'; the file has: {told}. "
                f"If one of them holds it: --column {identifying}=NAME"
            )
        return cls(names, holds, delimiter)


def suggested(header: str, channel: str) -> dict[str, str]:
    """Return the columns of a file, and what the name of each says that it holds: nothing where nobody knows.

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
