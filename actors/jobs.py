"""The list of jobs, and every table that follows from it."""

from __future__ import annotations

from typing import Any

from actors.add_contact import AddContact
from actors.create_group import CreateGroup
from actors.event_data import COMMON_EVENTS, Data, JobFailed
from actors.job import Job
from actors.list_contacts import ListContacts
from actors.list_groups import ListGroups
from actors.problems import InvalidJob
from actors.verify_webhook import VerifyWebhook

__all__ = ["EVENTS", "JOBS", "key_of"]

#: Every job by the name of its actor. A new one is a file beside this one, and its line here.
JOBS: dict[str, type[Job]] = {
    job.actor: job
    for job in (
        AddContact,
        CreateGroup,
        VerifyWebhook,
        ListGroups,
        ListContacts,
    )
}
#: The data of every event, by its type after the prefix.
EVENTS: dict[str, type[Data]] = {
    **{name: data for job in JOBS.values() for name, data in job.succeeds.items()},
    **{job.failed: JobFailed for job in JOBS.values()},
    **COMMON_EVENTS,
}


def key_of(actor: str, arguments: dict[str, Any]) -> str | None:
    """Return the idempotency key of a job, given or derived, also if its arguments are wrong; None if it has none."""
    kind = JOBS.get(actor)
    if kind is None:
        return None
    try:
        return kind.parse(arguments).key
    except InvalidJob:
        return kind.key_of_raw(arguments)
