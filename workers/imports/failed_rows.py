"""The rows of a file whose jobs failed, and why: looked up when all are answered, so that following them takes no memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any, Final

import orjson
import redis

from config import Settings
from config.keys import Keys
from workers.imports.contacts import ContactsFile
from workers.imports.kept_rows import KeptRows
from workers.imports.pace import BULK
from workers.imports.people import People, Person
from workers.redis_link import Patience
from workers.stream import history

__all__ = ["write_failed"]

AT_ONCE: Final = 500
#: The most rows without a dead letter that are looked up on the event stream; further ones say only that they failed.
LOOKED_UP: Final = 20_000
NOT_TOLD: Final = "it failed; its event says why"


def write_failed(
    client: redis.Redis,
    settings: Settings,
    people: People,
    contacts: ContactsFile,
    out: KeptRows,
    *,
    patience: Patience,
) -> None:
    """Write the rows whose jobs failed, with the reasons. Redis is asked with ``patience``.

    Raises:
        redis.RedisError: Redis could not be asked.
        OSError: the file cannot be written.
    """
    keys = Keys.of(settings)
    # A conflict and a cancelled job leave no dead letter.
    unexplained: dict[str, Person] = {}
    own_jobs = (
        person for person in people.read(contacts) if person.problem is None and person.first_line is None
    )
    while some := list(islice(own_jobs, AT_ONCE)):
        states = patience.ask(partial(people.states, client, keys, some))
        failed = {
            state.failed_id: person
            for person, state in zip(some, states, strict=True)
            if state.word == "failed" and state.failed_id
        }
        if not failed:
            continue
        reasons: Any = patience.ask(partial(client.hmget, keys.queue(BULK).dead_reasons, list(failed)))
        for (message_id, person), reason in zip(failed.items(), reasons, strict=True):
            if reason is None and len(unexplained) < LOOKED_UP:
                unexplained[message_id] = person
            else:
                told = orjson.loads(reason) if reason else {"kind": "failed", "message": NOT_TOLD}
                out.add(person.row, f"{told['kind']}: {told['message']}")
    for person, why in _explained(client, settings, unexplained):
        out.add(person.row, why)


def _explained(
    client: redis.Redis, settings: Settings, unexplained: dict[str, Person]
) -> Iterator[tuple[Person, str]]:
    if not unexplained:
        return
    for entry in history(client, settings.events_stream):
        error = entry.event["data"].get("error")
        if entry.event["id"] in unexplained and isinstance(error, dict):
            yield unexplained.pop(entry.event["id"]), f"{error.get('kind')}: {error.get('message')}"
            if not unexplained:
                return
    for person in unexplained.values():
        yield person, f"failed: {NOT_TOLD}"
