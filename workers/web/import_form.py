"""The form about an uploaded file: its fields as they were filled in, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from workers.imports import (
    IGNORED,
    People,
    Person,
    UnusableFile,
    WrongOption,
    columns_of,
    constant_arguments,
    known_columns,
    same_name,
)
from workers.web.import_run import check_group_name, open_contacts
from workers.web.import_shelf import Record, Shelf
from workers.web.page import Visit

__all__ = ["FilledIn", "PreviewRow", "look_at", "note_choices", "preview"]

#: Fields that are kept as they were typed, and the longest text of each, in characters.
GROUP: Final = ("listed", "group_id", "new_group")
FIELDS: Final = (*GROUP, "country", "present")
LONGEST: Final = 500
PRESENT: Final = ("", "skip", "again")
#: Rows of the file that are shown as they are read, and the longest cell, in characters.
FIRST_ROWS: Final = 10
LONGEST_CELL: Final = 80


@dataclass(slots=True)
class FilledIn:
    """The state of the form."""

    #: The columns of the file, and what each holds: as it was chosen, or as its name suggests.
    columns: dict[str, str] = field(default_factory=dict)
    #: What is wrong, by the field that it is about.
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One of the first rows: what an import would make of it, or why it would not."""

    where: str
    to: str
    name: str
    custom: str
    problem: str


def note_choices(visit: Visit, record: Record, shelf: Shelf) -> None:
    """Keep what was filled in, right or wrong.

    Raises:
        UnusableFile: the file has no columns.
        OSError: it cannot be read.
    """
    before, record.chosen = record.chosen, {name: visit.given(name)[:LONGEST] for name in FIELDS}
    if any(record.chosen[name] != before.get(name, "") for name in GROUP):
        # The id is that of an earlier try, which did not begin.
        record.group_id = ""
    allowed = {"", IGNORED, *known_columns(record.channel)}
    for number, name in enumerate(columns_of(shelf.file(record), record.channel)):
        # A program may leave out columns whose names say what they hold.
        if f"column-{number}" in visit.form:
            holds = visit.given(f"column-{number}")
            record.columns[name] = holds if holds in allowed else ""


def look_at(record: Record, shelf: Shelf) -> FilledIn:
    """Return the state of the form; it refuses nothing that an import would take."""
    filled = FilledIn()
    chosen = record.chosen
    try:
        filled.columns = columns_of(shelf.file(record), record.channel) | record.columns
        filled.problems |= _wrong_columns(filled.columns, record.channel)
        if not filled.problems:
            record.columns = filled.columns
            open_contacts(record, shelf).close()
    except UnusableFile as error:
        filled.problems["columns"] = str(error)
    except WrongOption as error:
        filled.problems["country"] = f"{chosen.get('country')!r} {error}"
    filled.problems |= _wrong_group(record)
    if chosen.get("present", "") not in PRESENT:
        filled.problems["present"] = "choose one of the three"
    return filled


def _wrong_columns(columns: dict[str, str], channel: str) -> dict[str, str]:
    identifying = next(iter(known_columns(channel)))
    twice = [name for name, times in Counter(map(same_name, columns)).items() if times > 1]
    held = Counter(holds for holds in columns.values() if holds not in {"", IGNORED})
    open_ones = [name for name, holds in columns.items() if not holds]
    problem = ""
    if twice:
        problem = f"two columns are called '{twice[0][:100]}': give one of them another name in the file, and upload it again"
    elif doubled := [holds for holds, times in held.items() if times > 1]:
        problem = f"two columns are chosen as '{doubled[0]}': choose only one, and leave the other out"
    elif open_ones:
        told = ", ".join(f"'{name[:60]}'" for name in open_ones[:5])
        problem = f"nobody knows what {told} holds: choose it, or leave the column out"
    elif identifying not in held:
        problem = f"no column is chosen as '{identifying}', which every contact needs: choose one"
    return {"columns": problem} if problem else {}


def _wrong_group(record: Record) -> dict[str, str]:
    given = {name: text for name in GROUP if (text := record.chosen.get(name))}
    if len(given) != 1:
        why = "name only one of the three" if given else "choose a group, type its id, or name a new one"
        return {"group": why}
    (text,) = given.values()
    try:
        if "new_group" in given:
            check_group_name(record.channel, text)
        else:
            constant_arguments(channel=record.channel, group_id=text)
    except WrongOption as error:
        return {"group": f"{text[:100]!r} {error}"}
    return {}


def preview(record: Record, shelf: Shelf) -> list[PreviewRow]:
    """Return how the first rows are read.

    Raises:
        UnusableFile, WrongOption: the form is filled in wrongly.
        OSError: the file cannot be read.
    """
    constant = {"channel": record.channel, "group_id": "gro_1", "batch_id": record.id}
    with open_contacts(record, shelf) as contacts:
        return [_shown(person) for person in islice(People(constant).read(contacts), FIRST_ROWS)]


def _shown(person: Person) -> PreviewRow:
    arguments, problem, cells = person.arguments, person.problem, person.row.cells
    to = arguments.get("phone") or arguments.get("email") or ", ".join(cell for cell in cells if cell.strip())
    custom = ", ".join(f"{number}: {text}" for number, text in arguments.get("custom_fields", {}).items())
    name = " ".join(filter(None, (arguments.get("first_name"), arguments.get("last_name"))))
    if person.first_line is not None:
        problem = f"the same contact as in line {person.first_line}; not added twice"
    return PreviewRow(person.row.where, _cut(to), _cut(name), _cut(custom), problem or "")


def _cut(text: str) -> str:
    # Bytes that are no UTF-8 are lone surrogates here, which no page can hold.
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"
