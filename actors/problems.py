"""What is said of arguments that break a rule."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from config.plain_words import in_plain_words

__all__ = ["ArgumentError", "InvalidJob", "bounded", "problems_of"]

#: Of what is wrong, and of arguments that no job knows, so many are told by name, each name cut to so many characters.
MOST_TOLD = 20
LONGEST_NAME = 100
#: What a stranger has called an argument is repeated up to so many characters.
LONGEST_FIELD = 128


class ArgumentError(ValueError):
    """An argument breaks a rule; says which and what would be right."""

    def __init__(self, field: str, message: str, *, strange: bool = False) -> None:
        super().__init__(message)
        self.field = field[:LONGEST_FIELD]
        self.message = message
        #: Is the field's name a stranger's? Then it may be anything, a person's name among it, and is kept out of the log.
        self.strange = strange


class InvalidJob(Exception):  # noqa: N818 - named for what the answer calls it: kind "invalid"
    """The job's arguments break a rule: give up, nothing was sent."""

    def __init__(self, problems: list[ArgumentError]) -> None:
        # What somebody has called a custom field may be anything, a name among it; the text goes to the log.
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
    """Return what Pydantic's entries say of arguments that some job knows, and of strange ones.

    ``unknown`` is said of one that this job does not have; ``known`` are all that some job has.
    """
    # Not by looking each up among the strange: of 70,000 that took minutes, in which the whole process stood still.
    problems = [_problem(entry, unknown) for entry in entries if not _is_strange(entry, known)]
    return problems, _strangers([entry for entry in entries if _is_strange(entry, known)], unknown)


def bounded(problems: list[ArgumentError]) -> list[ArgumentError]:
    """Return the first, and how many more there are: an object may have ten thousand wrong keys."""
    more = len(problems) - MOST_TOLD
    told = problems[:MOST_TOLD]
    return [*told, ArgumentError("kwargs", f"{more:,} more are wrong")] if more > 0 else told


def _is_strange(entry: Any, known: Collection[str]) -> bool:
    """Is it an argument that no job knows? Its name may be anything, a person's, too, and there may be a hundred thousand."""
    return entry["type"] == "extra_forbidden" and entry["loc"][0] not in known


def _strangers(entries: list[Any], unknown: str) -> list[ArgumentError]:
    """Tell the first of them by name to whoever sent them; the log gets their number alone."""
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
