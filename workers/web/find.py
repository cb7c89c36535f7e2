"""Find: a job by its message id, its idempotency key or its correlation id; its state, its story and its event."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

import structlog
from starlette.responses import Response

from actors import JOBS
from workers.cancelling import cancel_jobs
from workers.lookup import Found, LooksTooLong, Lookup, Step, story
from workers.lookup.found import kwargs_of
from workers.web.masking import Mask, pretty
from workers.web.page import Action, Page, Refused, Visit

__all__ = ["PAGE"]

log = structlog.get_logger("workers.web")

#: How long a search may take, in seconds, and how many jobs it shows.
MOST_SECONDS: Final = 20.0
MOST_FOUND: Final = 50
#: The longest id or key, in characters.
LONGEST: Final = 300
WAYS: Final = {"id": "message id", "correlation": "correlation id", "key": "idempotency key"}


def _form(visit: Visit) -> Response:
    return visit.page("find.html", ways=WAYS, jobs=list(JOBS), way="id", wanted="", found=None, problem="")


def _search(visit: Visit) -> Response:
    way, wanted, actor = visit.given("way"), visit.given("wanted"), visit.given("actor")
    if way not in WAYS or not 0 < len(wanted) <= LONGEST or (actor and actor not in JOBS):
        raise Refused(
            400, f"give a message id, a correlation id or an idempotency key of at most {LONGEST} characters"
        )
    if way == "id":
        return visit.go("/job", id=wanted)
    lookup = _lookup(visit)
    found: list[dict[str, Any]] = []
    problem = ""
    try:
        jobs = lookup.by_key(wanted, actor or None) if way == "key" else lookup.by_correlation_id(wanted)
        found = [_row(job) for job in islice(jobs, MOST_FOUND + 1)]
    except LooksTooLong:
        problem = _too_long(way, wanted)
    # A key may be somebody's phone number, so the page shows the searched text again only if it is an id.
    return visit.page(
        "find.html",
        ways=WAYS,
        jobs=list(JOBS),
        way=way,
        wanted=wanted if way != "key" else "",
        found=found[:MOST_FOUND],
        problem=problem or ("" if found else "There is no such job (any more)."),
        more=len(found) > MOST_FOUND,
    )


def _job(visit: Visit) -> Response:
    return _show(visit, visit.named("id"), openly=False)


def _openly(visit: Visit) -> Response:
    message_id = visit.named("id")
    log.warning("web.shown", message_id=message_id)
    return _show(visit, message_id, openly=True)


def _show(visit: Visit, message_id: str, *, openly: bool) -> Response:
    if not 0 < len(message_id) <= LONGEST:
        raise Refused(400, f"a message id has at most {LONGEST} characters")
    try:
        job = _lookup(visit).by_ids([message_id]).get(message_id)
    except LooksTooLong:
        raise Refused(504, _too_long("id", message_id)) from None
    if job is None:
        raise Refused(404, f"there is no job {message_id} (any more)")
    mask = Mask(_arguments(job))
    event = job.event if openly else mask.value(job.event)
    message = job.message if openly else mask.message(job.message)
    told = [Step(step.at, step.what if openly else mask.text(step.what)) for step in story(job)]
    return visit.page(
        "job.html",
        job=job,
        reason=job.reason if openly or not job.reason else mask.text(job.reason),
        story=told,
        event=pretty(event) if event else "",
        message=pretty(message) if message else "",
        batch=(job.event or {}).get("batchid") or kwargs_of(job.message or {}).get("batch_id"),
        openly=openly,
        cancels=job.state not in {"answered", "dead"},
    )


def _cancel(visit: Visit) -> Response:
    message_id = visit.named("id")
    why_not = cancel_jobs(visit.desk.client, visit.desk.settings, [message_id])
    log.info("web.acted", action="cancel", message_id=message_id, changed=not why_not)
    said = (
        f"The job {why_not[message_id]}." if why_not else "The job is cancelled: no new call is made for it."
    )
    return visit.go("/job", said, id=message_id)


def _lookup(visit: Visit) -> Lookup:
    return Lookup(visit.desk.client, visit.desk.settings, most_seconds=MOST_SECONDS)


def _row(job: Found) -> dict[str, Any]:
    mask = Mask(_arguments(job))
    steps = story(job)
    return {"job": job, "last": mask.text(steps[-1].what) if steps else ""}


def _arguments(job: Found) -> dict[str, Any]:
    """Return the fields of a job that may be personal: its arguments and its event's data."""
    data = (job.event or {}).get("data")
    return {**(data if isinstance(data, dict) else {}), **kwargs_of(job.message or {})}


def _too_long(way: str, wanted: str) -> str:
    option = {"id": "", "key": "--idempotency-key ", "correlation": "--correlation-id "}[way]
    shown = "KEY" if way == "key" else wanted
    return (
        f"The search was given up after {MOST_SECONDS:g} s: too many jobs wait, or too many events are on the stream. "
        f"`coupontools-worker job {option}{shown}` searches for as long as it needs."
    )


PAGE: Final = Page(
    "Find",
    "/find",
    {
        "/find": {"GET": Action(_form), "POST": Action(_search, slow=True)},
        "/job": {"GET": Action(_job, slow=True)},
        "/job/openly": {"POST": Action(_openly, slow=True)},
        "/job/cancel": {"POST": Action(_cancel, slow=True)},
    },
)
