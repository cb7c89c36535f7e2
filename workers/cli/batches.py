"""`batches`: how far batches have come."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from config.keys import Keys
from config.names import QUEUES
from workers.batches import Batch, read_batch, read_batches
from workers.broker import DeadLetters
from workers.cli.output import say, say_json
from workers.cli.settings import command_settings
from workers.imports import FailedFile, duration
from workers.redis_link import sync_client

__all__ = ["batches"]


def batches(
    batch_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Only this batch; by default all batches.")
    ] = None,
    failed: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Write the contacts of its dead letters to this new file, with the reasons.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON line for each batch.")] = False,
) -> None:
    """Show how many jobs of each batch are answered, and how.

    Examples:

        coupontools-worker batches

        coupontools-worker batches spring-2026 --failed spring.failed.csv
    """
    if failed is not None and batch_id is None:
        raise typer.BadParameter("needs the id of a batch", param_hint="--failed")
    if failed is not None and os.path.lexists(failed):
        raise typer.BadParameter("exists already and is not overwritten", param_hint="--failed")
    settings = command_settings()
    keys = Keys.of(settings)
    with sync_client(settings.redis_url) as client:
        batch = read_batch(client, keys, batch_id) if batch_id is not None else None
        found = list(read_batches(client, keys)) if batch_id is None else [batch] if batch else []
        for each in found:
            if as_json:
                say_json(asdict(each))
            else:
                say(_line(each))
        if failed is not None and batch_id is not None:
            _write_failed(DeadLetters(client, keys, QUEUES), batch_id, failed)
    if not found:
        if batch_id is not None or not as_json:
            say("no such batch" if batch_id is not None else "no batches", err=batch_id is not None)
        raise typer.Exit(1 if batch_id is not None else 0)


def _write_failed(letters: DeadLetters, batch_id: str, path: Path) -> None:
    try:
        with FailedFile(path) as out:
            for letter, body in letters.of_batch(batch_id):
                out.add(letter, body)
    except OSError as error:
        say(f"{path}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    say(
        f"{out.rows:,} contacts are in {path}, with the reasons: mend them there and import that file"
        if out.rows
        else "no dead letters of contacts are kept",
        err=True,
    )


def _line(batch: Batch) -> str:
    of = "" if batch.total is None else f" of {batch.total:,}"
    parts = [f"{batch.batch_id}: {batch.answered:,}{of} answered", f"{batch.succeeded:,} succeeded"]
    parts += [f"{batch.replayed:,} replayed"] if batch.replayed else []
    parts += [f"{count:,} {kind}" for kind, count in sorted(batch.failed.items())]
    parts += [f"{duration(batch.left_seconds)} left"] if batch.left_seconds else []
    parts += ["cancelled"] if batch.cancelled else []
    return ", ".join(parts)
