"""Jobs from a file, one JSON object a line: ``{"job": "create_group", "channel": "sms", "name": "Pizza lovers"}``."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from actors import JOBS, InvalidJob
from config.plain_words import no_such
from workers.broker.entries import read_exactly
from workers.producer import Enqueued, job_message

__all__ = ["messages_of"]

#: A longer message is not accepted.
LONGEST_LINE = 2**20


class _NoJob(Exception):  # noqa: N818 - says what the line is
    """The line is not a job; the message says what is wrong."""


def messages_of(
    lines: Iterable[bytes], refused: Callable[[int, str], None], *, queue: str | None = None, delay: float = 0
) -> Iterator[Enqueued]:
    """Yield the message of each line that is a job; ``refused`` gets the number of each other line, and what is wrong.

    ``queue`` replaces each job's own queue, ``delay`` is in seconds. Empty lines are skipped.
    """
    for number, text in _numbered(lines, refused):
        # Some editors and shells write a byte order mark first.
        line = text.removeprefix(codecs.BOM_UTF8) if number == 1 else text
        if not line.strip():
            continue
        try:
            name, arguments = _job(line)
            JOBS[name].parse(arguments)
            homes = (JOBS[name].queue, *JOBS[name].also)
            if queue is not None and queue not in homes:
                raise _NoJob(f"{name} may be put on {' or '.join(homes)}, not on {queue}")
            message = job_message(name, arguments, queue, delay=delay)
        except InvalidJob as error:
            # Not the text of the error, which is for the log: it does not name arguments that no job knows.
            refused(number, "; ".join(f"{problem.field}: {problem.message}" for problem in error.problems))
        except orjson.JSONEncodeError:
            refused(number, "is nested too deeply, or holds a number of more than 64 bits")
        except _NoJob as error:
            refused(number, str(error))
        else:
            yield message


def _numbered(lines: Iterable[bytes], refused: Callable[[int, str], None]) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        for number, text in enumerate(lines, start=1):
            yield number, text
    except OSError as error:
        # The lines before this one are enqueued all the same.
        refused(number + 1, f"cannot be read: {error.strerror}; the lines from here on are left out")


def _job(line: bytes) -> tuple[str, dict[str, Any]]:
    """Return the job that a line names, and its arguments.

    Raises:
        _NoJob: says what is wrong.
    """
    if len(line) > LONGEST_LINE:
        raise _NoJob(f"is longer than {LONGEST_LINE:,} bytes")
    try:
        fields = read_exactly(line)
    except orjson.JSONDecodeError as error:
        raise _NoJob(f"is not JSON: {error}") from None
    except (RecursionError, ValueError):
        raise _NoJob("is nested too deeply, or holds a number that is too long") from None
    if not isinstance(fields, dict):
        raise _NoJob('is not a JSON object such as {"job": "list_groups", "channel": "sms"}')
    name = fields.pop("job", None)
    if not isinstance(name, str) or name not in JOBS:
        raise _NoJob(
            f"job is missing; known are {', '.join(JOBS)}"
            if name is None
            else no_such("job", str(name), JOBS)
        )
    return name, fields
