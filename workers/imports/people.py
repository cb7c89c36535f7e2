"""The people of a file: its rows as jobs of one batch, each under an id that is derived from the batch and the row's contents."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Literal

import orjson
import redis

from actors import JOBS, InvalidJob
from config.keys import Keys
from delivery.task import short_digest
from workers.answers import markers
from workers.imports.contacts import ContactsFile, Row
from workers.imports.first_lines import FirstLines
from workers.imports.pace import BULK
from workers.producer import Enqueued, job_message

__all__ = ["People", "Person", "State"]

_ADD_CONTACT: Final = JOBS["add_contact"]


@dataclass(frozen=True, slots=True)
class Person:
    """A row, and what becomes of it: a job, a problem, or nothing if an earlier line has the same number or address."""

    row: Row
    arguments: dict[str, Any]
    problem: str | None = None
    #: The earlier line that has the same number or address, if there is one.
    first_line: int | None = None
    #: The number or the address in its comparable form.
    needle: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """The state of a person's job in its batch."""

    #: ``open``: not answered; ``failed``: its last job failed; ``done``: it is answered, and did not fail.
    word: Literal["open", "failed", "done"]
    #: The id of its job; after a failure, the id for the next job.
    message_id: str
    #: The id of the last job that failed.
    failed_id: str | None = None


@dataclass(frozen=True, slots=True)
class People:
    """Reads people out of files into one batch.

    If the same import runs again under the id of its batch, it enqueues nobody twice: a row that nobody has changed keeps its id, and Redis
    knows which ids wait and which were answered. After a failure the next job gets a new id, because an id is answered only once.
    """

    #: The arguments that all jobs share, batch_id among them.
    constant: dict[str, Any]
    #: Add people again whom an earlier job added? Then their jobs have keys that belong to the batch.
    again: bool = False

    def read(self, contacts: ContactsFile) -> Iterator[Person]:
        """Yield the person of each row, from the first row of the file on."""
        first_lines = FirstLines()
        for row in contacts.rows():
            arguments = {**self.constant, **row.arguments}
            if row.problem is not None:
                yield Person(row, arguments, row.problem)
                continue
            try:
                needle = _ADD_CONTACT.parse(arguments).needle()
            except InvalidJob as error:
                yield Person(row, arguments, str(error))
                continue
            first_line = first_lines.note(needle, row.line)
            yield Person(row, arguments, first_line=first_line, needle=needle)

    def message(self, person: Person, message_id: str, *, anew: bool = False) -> Enqueued:
        """Return the job of a person. With ``anew``, an outcome of an earlier job does not answer it, because it has a key of the batch.

        No other job has such a key: an import of the same file in another batch would not find its outcome, and add the person twice.
        """
        arguments = dict(person.arguments)
        if anew:
            arguments["idempotency_key"] = f"again-{self._digest('key', person.needle)}"
        return job_message(_ADD_CONTACT.actor, arguments, BULK, message_id=message_id)

    def message_id(self, person: Person, generation: int = 0) -> str:
        """Return the id of a person's first job in this batch, or of the job after ``generation`` failed ones."""
        row = person.row.arguments
        names = [row.get("first_name"), row.get("last_name"), sorted(row.get("custom_fields", {}).items())]
        return self._digest("id", person.needle, self.again, names, generation)

    def states(self, client: redis.Redis, keys: Keys, people: Sequence[Person]) -> list[State]:
        """Return the state of each person's job in this batch.

        Raises:
            redis.RedisError: Redis could not be asked.
        """
        generations = [0] * len(people)
        words: dict[int, Literal["open", "failed", "done"]] = {}
        ask = list(range(len(people)))
        while ask:
            ids = [self.message_id(people[at], generations[at]) for at in ask]
            failed = []
            for at, marker in zip(ask, markers(client, keys, ids), strict=True):
                if marker is not None and marker.startswith(b"-"):
                    failed.append(at)
                    generations[at] += 1
                else:
                    words[at] = "done" if marker else "failed" if generations[at] else "open"
            ask = failed
        return [
            State(
                words[at],
                self.message_id(person, generation),
                self.message_id(person, generation - 1) if generation else None,
            )
            for at, (person, generation) in enumerate(zip(people, generations, strict=True))
        ]

    def added_before(self, client: redis.Redis, keys: Keys, people: Sequence[Person]) -> set[str]:
        """Return the needles of those whom an earlier job has added: a job without a key of its own does not add them again.

        Raises:
            redis.RedisError: Redis could not be asked.
        """
        with client.pipeline(transaction=False) as pipeline:
            for person in people:
                key = _ADD_CONTACT.parse(person.arguments).key or ""
                # See delivery/lua/record.lua.
                pipeline.hget(keys.record(_ADD_CONTACT.actor, short_digest(key)), "s")
            states = pipeline.execute()
        return {person.needle for person, state in zip(people, states, strict=True) if state == b"done"}

    def _digest(self, *told: Any) -> str:
        own = [self.constant[name] for name in ("batch_id", "channel", "group_id")]
        return str(uuid.UUID(bytes=blake2b(orjson.dumps([*own, *told]), digest_size=16).digest()))
