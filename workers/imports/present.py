"""Who is in a group already: listed by a job, so that the account's pace and holds apply to this, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis

from config import Settings
from coupontools import comparable_address, comparable_number
from workers.imports.by_job import NotAnswered, answers_of
from workers.imports.first_lines import FirstLines

__all__ = ["NotListed", "read_present"]


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
    try:
        for page in answers_of(client, settings, "list_contacts", group, say=say, signals=signals):
            total, complete = page["total"], complete and page["complete"]
            for contact in page["contacts"]:
                rows += 1
                if form := form_of(contact[column] or ""):
                    present.note(form, rows)
                else:
                    unreadable += 1
    except NotAnswered as error:
        raise NotListed(f"the group could not be listed by a job: {error}") from None
    if unreadable:
        raise NotListed(
            f"the listing does not show the whole {column} of {unreadable:,} of {rows:,} contacts, so nobody can tell who is in it"
        )
    if not complete:
        raise NotListed(
            f"the listing has only {rows:,} of the {total:,} contacts that the API counts, so nobody can tell who is in the group"
        )
    return present
