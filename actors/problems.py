"""The errors for arguments that break a rule, and which of them are reported."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from config.plain_words import in_plain_words

__all__ = ["ArgumentError", "InvalidJob", "bounded", "problems_of"]

#: The most problems, and the most arguments that no job knows, that are reported; and the most characters of such an argument's name.
MOST_TOLD = 20
LONGEST_NAME = 100
#: The most characters of a field's name that are repeated: the sender chose the name.
LONGEST_FIELD = 128


class ArgumentError(ValueError):
    """An argument breaks a rule; the message says what would be right."""

    def __init__(self, field: str, message: str, *, strange: bool = False) -> None:
        super().__init__(message)
        self.field = field[:LONGEST_FIELD]
        self.message = message
        #: Is it an argument that no job knows? Its name may be anything, even a person's, and is kept out of the log.
        self.strange = strange


class InvalidJob(Exception):  # noqa: N818 - named for what the answer calls it: kind "invalid"
    """The job's arguments break a rule: give up, nothing was sent."""

    def __init__(self, problems: list[ArgumentError]) -> None:
        # The key of a custom field may be anything, even a person's name, and this text goes to the log.
        fields = [
            re.sub(r"^(custom_fields)\.(?![0-9]{1,3}$).*", r"\1", p.field, flags=re.DOTALL) for p in problems
        ]
        told = [f"{field}: {p.message}" for field, p in zip(fields, problems, strict=True) if not p.strange]
        if strange := [p for p in problems if p.strange]:
            told.append(f"{len(strange)} unknown: {strange[0].message}")
        super().__init__("; ".join(told))
        self.problems = problems


def problems_of(
    entries: list[Any], unknown: str, known: Collection[str]
) -> tuple[list[ArgumentError], list[ArgumentError]]:
    """Return the problems in Pydantic's entries: those with arguments that some job has, and those with arguments that no job has.

    ``unknown`` is the message for an argument that this job does not have; ``known`` are the arguments of all jobs.
    """
    # Do not search the list of strange entries for each entry: with 70,000 of them the whole process stood still for minutes.
    problems = [_problem(entry, unknown) for entry in entries if not _is_strange(entry, known)]
    return problems, _strangers([entry for entry in entries if _is_strange(entry, known)], unknown)


def bounded(problems: list[ArgumentError]) -> list[ArgumentError]:
    """Return the first problems, and how many more there are: an object may have ten thousand wrong keys."""
    more = len(problems) - MOST_TOLD
    told = problems[:MOST_TOLD]
    return [*told, ArgumentError("kwargs", f"{more:,} more problems")] if more > 0 else told


def _is_strange(entry: Any, known: Collection[str]) -> bool:
    """Return whether the entry is an argument that no job has. Such a name may be anything, even a person's; there may be 100,000."""
    return entry["type"] == "extra_forbidden" and entry["loc"][0] not in known


def _strangers(entries: list[Any], unknown: str) -> list[ArgumentError]:
    """Return the first strange arguments by name, for the sender, and how many more there are; the log gets only their number."""
    told = [
        ArgumentError(str(entry["loc"][0])[:LONGEST_NAME], unknown, strange=True)
        for entry in entries[:MOST_TOLD]
    ]
    more = len(entries) - len(told)
    return told + ([ArgumentError("kwargs", f"{more:,} more unknown arguments")] if more else [])


def _problem(entry: Any, unknown: str) -> ArgumentError:
    cause = entry.get("ctx", {}).get("error")
    field = ".".join(str(part) for part in entry["loc"])
    if isinstance(cause, ValueError):
        return ArgumentError(field, str(cause).removeprefix(f"{field} "))
    return ArgumentError(field, unknown if entry["type"] == "extra_forbidden" else in_plain_words(entry))
