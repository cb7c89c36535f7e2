"""`cancel`: cancels jobs, or a whole batch."""

from __future__ import annotations

from typing import Annotated

import typer

from config.keys import Keys
from workers.batches import read_batch
from workers.cancelling import cancel_batch, cancel_jobs
from workers.cli.output import say
from workers.cli.settings import check_pair, command_settings
from workers.redis_link import sync_client

__all__ = ["cancel"]


def cancel(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Message ids.")] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="B", help="All jobs of this batch, including later ones.")
    ] = None,
) -> None:
    """Cancel jobs: when this returns, no new call is made for them, however many they are.

    Jobs that the API certainly did not carry out end as failed, of kind cancelled. Exit 1 if a job was not found, is in flight or
    unknown, or was answered.

    Examples:

        coupontools-worker cancel 8f14e45f-ceea-467f-a9c0-1f2c8c6b3b7a

        coupontools-worker cancel --batch spring-2026
    """
    if not ids and batch is None:
        raise typer.BadParameter("give message ids, or --batch", param_hint="ID...")
    if batch == "":
        # A script with an empty variable would believe that its batch is cancelled.
        raise typer.BadParameter("is empty", param_hint="--batch")
    settings = command_settings()
    with sync_client(settings.redis_url) as client:
        check_pair(client, settings)
        if batch is not None:
            cancel_batch(client, settings, batch)
            if read_batch(client, Keys.of(settings), batch) is None:
                say(
                    f"no job of batch {batch} has been counted yet: jobs that wait or come later are cancelled",
                    err=True,
                )
        why_not = cancel_jobs(client, settings, list(dict.fromkeys(ids))) if ids else {}
    for message_id, why in why_not.items():
        say(f"{message_id}: {why}", err=True)
    raise typer.Exit(1 if why_not else 0)
