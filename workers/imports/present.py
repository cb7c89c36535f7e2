"""Who is in a group already, listed by a job so that the account's pace and its holds count for this, too."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
import redis

from config import Settings
from config.keys import Keys
from coupontools import comparable_address, comparable_number
from workers.imports.first_lines import FirstLines
from workers.imports.run import Stopped
from workers.producer import enqueue_all, job_message
from workers.redis_link import Patience
from workers.worker_list import read_workers

__all__ = ["NotListed", "read_present"]

#: How long one look for the next page waits, in seconds.
LOOK_SECONDS: Final = 1
#: After how many looks without a page it is told that it takes long.
HINT_AFTER: Final = 10


class NotListed(Exception):  # noqa: N818 - says why nobody knows who is in the group
    """Nobody knows who is in the group; the message says why. Nothing was enqueued."""


def read_present(
    client: redis.Redis,
    settings: Settings,
    group: Mapping[str, Any],
    *,
    say: Callable[[str], None],
    signals: Sequence[int],
) -> FirstLines:
    """Return the numbers or addresses in a group, in comparable form; ``group`` has its channel and its group_id.

    Raises:
        NotListed: no worker runs, the listing failed, or it does not show everybody's number or address.
        Stopped: by a signal.
        redis.RedisError: Redis could not be asked.
    """
    form_of, column = (
        (comparable_number, "phone") if group["channel"] == "sms" else (comparable_address, "email")
    )
    present = FirstLines()
    rows = unreadable = total = 0
    complete = True
    for page in _pages(client, settings, group, say, signals):
        total, complete = page["total"], complete and page["complete"]
        for contact in page["contacts"]:
            rows += 1
            if form := form_of(contact[column] or ""):
                present.note(form, rows)
            else:
                unreadable += 1
    if unreadable:
        raise NotListed(
            f"the listing shows no whole {column} of {unreadable:,} of the group's {rows:,} contacts, so nobody can tell who is in it"
        )
    if not complete:
        raise NotListed(
            f"the listing tells {rows:,} of the {total:,} contacts that the API counts, so nobody can tell who is in the group"
        )
    return present


def _pages(
    client: redis.Redis,
    settings: Settings,
    group: Mapping[str, Any],
    say: Callable[[str], None],
    signals: Sequence[int],
) -> Iterator[dict[str, Any]]:
    """Enqueue a job that lists the group, and yield each page of its answer once."""
    keys = Keys.of(settings)
    workers = read_workers(client, settings)
    alive = [worker for worker in workers if worker.seen_seconds_ago <= settings.worker_heartbeat_seconds]
    if not any("reads" in worker.queues for worker in alive):
        raise NotListed(
            "the group is listed by a job, but no worker runs that takes such jobs; start one: coupontools-worker run"
        )
    reply = f"import-{uuid.uuid4()}"
    job = job_message("list_contacts", {**group, "reply_to": reply})
    patience = Patience(say, lambda _: bool(signals))
    patience.ask(lambda: enqueue_all(client, keys, [job]))
    told: set[int] = set()
    looks = 0
    while True:
        answer: Any = patience.ask(lambda: client.blpop([keys.reply(reply)], timeout=LOOK_SECONDS))
        if signals:
            raise Stopped("stopped")
        if answer is None:
            looks += 1
            if looks == HINT_AFTER:
                say("the group is not listed yet; `coupontools-worker status` shows what waits, and why")
            continue
        page = orjson.loads(answer[1])["data"]
        if "error" in page:
            error = page["error"]
            raise NotListed(f"the group could not be listed: {error['kind']}: {error['message']}")
        if page["page"] not in told:
            told.add(page["page"])
            yield page
        if len(told) == page["pages"]:
            return
