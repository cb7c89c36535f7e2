"""Cancels jobs and batches by marks in Redis, and reports the jobs for which it is too late."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import redis

from config import Settings
from delivery import Policy, cancelling
from workers.lookup import Lookup
from workers.redis_link import ThreadRunner
from workers.worker_list import account_keys, read_workers

__all__ = ["cancel_batch", "cancel_jobs"]

#: Why it is too late to cancel a job, by its state, as the commands print it.
TOO_LATE: Final = {
    "running": "is in flight: its call decides how it ends",
    "unknown": "may have been carried out: it is looked up, and ends by what is found",
    "answered": "was answered before",
    "dead": "was answered before, and is a dead letter",
}


def cancel_batch(client: redis.Redis, settings: Settings, batch_id: str) -> None:
    """Cancel all jobs of a batch, later ones too: when this returns, no new call is made for them.

    Raises:
        redis.RedisError: Redis could not be asked.
    """
    _mark(client, settings, batch_id=batch_id)


def cancel_jobs(client: redis.Redis, settings: Settings, ids: Collection[str]) -> dict[str, str]:
    """Cancel jobs: when this returns, no new call is made for them. Return the ids that are not found or too late to cancel, and why.

    Raises:
        redis.RedisError: Redis could not be asked.
    """
    # Set the marks first: no call begins after this. The states read below may change a moment later.
    _mark(client, settings, messages=ids)
    found = Lookup(client, settings).by_ids(ids)
    why_not = {}
    for message_id in ids:
        job = found.get(message_id)
        if job is None:
            why_not[message_id] = "was not found"
        elif job.state in TOO_LATE and not _was_cancelled(job.event):
            why_not[message_id] = TOO_LATE[job.state]
    return why_not


def _mark(client: redis.Redis, settings: Settings, **what: Any) -> None:
    keys = account_keys(settings, read_workers(client, settings))
    ThreadRunner(client).run(*cancelling(keys, Policy.of(settings), **what))


def _was_cancelled(event: dict[str, object] | None) -> bool:
    data = event.get("data") if event else None
    error = data.get("error") if isinstance(data, dict) else None
    return isinstance(error, dict) and error.get("kind") == "cancelled"
