"""`cancel`: jobs that are not to be carried out any more."""

from __future__ import annotations

from typing import Annotated

import typer

from delivery import cancelling
from workers.cli.output import say
from workers.cli.settings import command_settings
from workers.lookup import open_lookup
from workers.redis_link import ThreadRunner, sync_client
from workers.worker_list import account_keys, read_workers

__all__ = ["cancel"]

#: What is told of a job that cannot be cancelled, by its state.
TOO_LATE = {
    "running": "is in flight: it ends as it does",
    "unknown": "may have been carried out: it is looked up, and ends as it did",
    "answered": "was answered before",
    "dead": "was answered before, and is a dead letter",
}


def cancel(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Message ids.")] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="B", help="All jobs of this batch, later ones too.")
    ] = None,
) -> None:
    """Cancel jobs: when this returns, no new call is made for them, however many they are.

    What the API certainly did not carry out ends as failed, of kind cancelled. Exit 1 if a job was not found, is in flight or was answered.

    Examples:

        coupontools-worker cancel 8f14e45f-ceea-467f-a9c0-1f2c8c6b3b7a

        coupontools-worker cancel --batch spring-2026
    """
    if not ids and batch is None:
        raise typer.BadParameter("give message ids, or --batch", param_hint="ID...")
    settings = command_settings()
    with sync_client(settings.redis_url) as client:
        workers = read_workers(client, settings)
        keys = account_keys(settings, workers)
        # First the marks: what is told below may be old a moment later, but no call begins after this.
        ThreadRunner(client).run(*cancelling(keys, messages=ids or (), batch_id=batch))
    too_late = 0
    with open_lookup(settings) as lookup:
        found = lookup.by_ids(ids or ())
    for message_id in ids or ():
        job = found.get(message_id)
        if job is None:
            say(f"{message_id}: not found", err=True)
        elif job.state in TOO_LATE and not _was_cancelled(job.event):
            say(f"{message_id}: {TOO_LATE[job.state]}", err=True)
        else:
            continue
        too_late += 1
    raise typer.Exit(1 if too_late else 0)


def _was_cancelled(event: dict[str, object] | None) -> bool:
    data = event.get("data") if event else None
    error = data.get("error") if isinstance(data, dict) else None
    return isinstance(error, dict) and error.get("kind") == "cancelled"
