"""Checks whether an entry of a queue is a job; anything else is set aside with the reason."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import dramatiq
import orjson
import structlog
from dramatiq.common import dq_name

from actors.arguments import REPLY_NAME
from config.moments import EARLIEST_MS
from config.plain_words import no_such
from delivery import Receipt

__all__ = ["DurableMessage", "Unreadable", "read_entry", "read_exactly", "read_object", "reply_of"]

log = structlog.get_logger("workers.broker")

FIELDS = frozenset(
    {"queue_name", "actor_name", "args", "kwargs", "options", "message_id", "message_timestamp"}
)
#: Options that this worker uses; all others belong to other software and are dropped.
KNOWN_OPTIONS = frozenset({"redis_message_id", "eta", "traceparent", "original_id"})
#: Options by which a stock producer asks for something that this worker never does; each is logged once.
NOT_DONE = frozenset(
    {"pipe_target", "on_success", "on_failure", "group_callbacks", "group_completion_uuid", "store_results"}
)
_told: set[str] = set()
#: So many digits in a row may be a whole number of more than 64 bits. To find them, `_ZEROS` turns each digit into 0 first: a regular
#: expression takes seven times as long, for every job.
_LONG_NUMBER = b"0" * 19
_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
#: The latest valid timestamp, in Unix milliseconds (the year 2500): numbers far beyond it break the arithmetic with times.
LATEST = 16_725_225_600_000


class Unreadable(Exception):  # noqa: N818 - says what the entry is
    """The entry is no readable job: set it aside."""


class SafeMessage(dramatiq.Message[Any]):
    """A message that does not print its arguments, which are people's numbers and names."""

    def __str__(self) -> str:
        return f"{self.actor_name}({self.message_id})"

    __repr__ = __str__


class DurableMessage(dramatiq.MessageProxy):
    """A message with the receipt that settles it."""

    def __init__(self, message: dramatiq.Message[Any], receipt: Receipt) -> None:
        super().__init__(message)
        self.receipt = receipt


def read_entry(
    queue: str, entry_id: str, body: bytes | None, actors: Mapping[str, Collection[str]]
) -> SafeMessage:
    """Return the message of an entry. ``actors`` maps each known actor to its queues.

    Raises:
        Unreadable: the entry is no job; the message says why, and repeats none of the arguments.
    """
    if body is None:
        raise Unreadable("there is no message under this id")
    fields = read_object(body)
    if missing := FIELDS.difference(fields):
        raise Unreadable(f"the message lacks {', '.join(sorted(missing))}")
    if extra := set(fields).difference(FIELDS):
        raise Unreadable(f"the message has unknown fields: {', '.join(sorted(extra))[:200]}")
    _check_types(fields)
    if fields["queue_name"] not in {queue, dq_name(queue)}:
        raise Unreadable(f"the message says queue_name {fields['queue_name']!r:.100} but lies in {queue!r}")
    homes = actors.get(fields["actor_name"])
    if homes is None:
        raise Unreadable(no_such("actor", fields["actor_name"], sorted(actors)))
    if queue not in homes:
        known = " or ".join(repr(home) for home in homes)
        raise Unreadable(f"the actor {fields['actor_name']} has the queue {known}, not {queue!r}")
    if fields["options"].get("redis_message_id") != entry_id:
        raise Unreadable("options.redis_message_id is not the id under which the message lies")
    _tell_not_done(fields)
    fields["options"] = {name: value for name, value in fields["options"].items() if name in KNOWN_OPTIONS}
    return SafeMessage(**{**fields, "queue_name": queue, "args": tuple(fields["args"])})


def _tell_not_done(fields: dict[str, Any]) -> None:
    options = fields["options"]
    asked = {name for name in NOT_DONE.intersection(options) if options[name]}
    if new := asked.difference(_told):
        _told.update(new)
        log.warning(
            "options.not_done",
            actor=fields["actor_name"],
            options=sorted(new),
            problem="pipelines, callbacks, groups and stored results of Dramatiq do nothing here; every job is answered by an event",
        )


def read_exactly(body: bytes) -> Any:
    """Return the value of a JSON document, with each whole number exactly as it is written.

    Raises:
        orjson.JSONDecodeError: it is not JSON.
        RecursionError, ValueError: it is nested too deeply, or holds a number of more digits than Python reads.
    """
    read = orjson.loads(body)
    if _LONG_NUMBER in body.translate(_ZEROS):
        # orjson turns a whole number of more than 64 bits into a float, which is another number.
        read = json.loads(body)
    return read


def read_object(body: bytes, what: str = "the message") -> dict[str, Any]:
    """Return a JSON object as every worker reads it.

    Raises:
        Unreadable: it is none; the message says why, in a sentence about ``what``.
    """
    try:
        fields = read_exactly(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"{what} is not JSON: {error.msg}") from None
    except (RecursionError, ValueError):
        raise Unreadable(f"{what} is nested too deeply, or holds a number that is too long") from None
    if not isinstance(fields, dict):
        raise Unreadable(f"{what} is no JSON object")
    return fields


def reply_of(body: bytes) -> str | None:
    """Return the ``reply_to`` of an entry that is no readable job, so that its caller gets an answer; None if it has none."""
    try:
        kwargs = read_object(body).get("kwargs")
    except Unreadable:
        return None
    name = kwargs.get("reply_to") if isinstance(kwargs, dict) else None
    return name if isinstance(name, str) and REPLY_NAME.fullmatch(name) else None


def _check_types(fields: dict[str, Any]) -> None:
    for name, kind, called in (
        ("queue_name", str, "a string"),
        ("actor_name", str, "a string"),
        ("args", list, "an array"),
        ("kwargs", dict, "an object"),
        ("options", dict, "an object"),
        ("message_id", str, "a string"),
    ):
        if not isinstance(fields[name], kind):
            raise Unreadable(f"{name} is not {called}")
    if not (1 <= len(fields["message_id"]) <= 255 and fields["message_id"].isprintable()):
        raise Unreadable("message_id is not 1 to 255 printable characters")
    for name, value in (
        ("message_timestamp", fields["message_timestamp"]),
        ("options.eta", fields["options"].get("eta", 0)),
    ):
        if name == "options.eta" and value is None:
            fields["options"].pop("eta")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
            raise Unreadable(f"{name} is not a number of Unix milliseconds")
    if 0 < fields["options"].get("eta", 0) < EARLIEST_MS:
        # Taken as milliseconds it would be long past, and the job would run at once instead of in an hour.
        raise Unreadable("options.eta must be Unix milliseconds; this looks like seconds")
    fields["message_timestamp"] = int(fields["message_timestamp"])
