"""`batches`: how far batches have come."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import redis
import typer

from config import Settings
from config.keys import QUEUES, Keys
from delivery import batch_key
from workers.broker import DeadLetters
from workers.cli.output import plain, say, say_json
from workers.cli.settings import command_settings
from workers.imports.dead_rows import FailedFile
from workers.lookup import time_of
from workers.redis_link import sync_client

__all__ = ["Batch", "batches", "read_batch"]


@dataclass(slots=True)
class Batch:
    """A batch's counts; ``total`` and ``left_seconds`` are None until they are known."""

    batch_id: str
    total: int | None
    answered: int
    succeeded: int
    replayed: int
    failed: dict[str, int]
    waiting: int | None
    began_at: str | None
    left_seconds: float | None
    cancelled: bool


def read_batch(client: redis.Redis, settings: Settings, key: str) -> Batch | None:
    """Return the batch whose counts stand under ``key``; None if there is none."""
    found: Any = client.hgetall(key)
    told = {name.decode(): value.decode("utf-8", "replace") for name, value in found.items()}
    if "id" not in told:
        return None
    numbers = {name: int(value) for name, value in told.items() if value.isdigit() and name != "id"}
    total, answered = numbers.get("size") or None, numbers.get("answered", 0)
    waiting = None if total is None else max(0, total - answered)
    seconds, _ = client.time()
    rate = answered / max(1.0, seconds - numbers["began_at"] / 1000) if "began_at" in numbers else 0.0
    return Batch(
        batch_id=told["id"],
        total=total,
        answered=answered,
        succeeded=numbers.get("succeeded", 0),
        replayed=numbers.get("replayed", 0),
        failed={
            name.removeprefix("failed:"): count
            for name, count in numbers.items()
            if name.startswith("failed:")
        },
        waiting=waiting,
        began_at=time_of(numbers["began_at"]) if "began_at" in numbers else None,
        left_seconds=round(waiting / rate, 1) if waiting is not None and rate else None,
        cancelled=bool(client.hexists(Keys.of(settings).cancelled, f"b:{told['id']}")),
    )


def batches(
    batch_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One batch; else all there are.")
    ] = None,
    failed: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", help="Write the contacts of its dead letters there, with why. Must not exist."
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
    settings = command_settings()
    keys = Keys.of(settings)
    with sync_client(settings.redis_url) as client:
        if batch_id is not None:
            names = [batch_key(keys, batch_id)]
        else:
            digests: Any = client.zrevrange(keys.batches, 0, -1)
            names = [keys.batch(digest.decode()) for digest in digests]
        found = [batch for name in names if (batch := read_batch(client, settings, name))]
        for batch in found:
            if as_json:
                say_json(asdict(batch))
            else:
                say(_line(batch))
        if failed is not None and batch_id is not None:
            with FailedFile(failed) as out:
                for letter, body in DeadLetters(client, keys, QUEUES).of_batch(batch_id):
                    out.add(letter, body)
            say(
                f"{out.rows:,} rows are in {failed}" if out.rows else "no dead letters of contacts are kept",
                err=True,
            )
    if not found:
        say("no such batch" if batch_id is not None else "no batches", err=batch_id is not None)
        raise typer.Exit(1 if batch_id is not None else 0)


def _line(batch: Batch) -> str:
    of = "" if batch.total is None else f" of {batch.total:,}"
    parts = [f"{batch.batch_id}: {batch.answered:,}{of} answered", f"{batch.succeeded:,} succeeded"]
    parts += [f"{batch.replayed:,} replayed"] if batch.replayed else []
    parts += [f"{count:,} {kind}" for kind, count in sorted(batch.failed.items())]
    parts += [f"{batch.left_seconds:,.0f} s left"] if batch.left_seconds else []
    parts += ["cancelled"] if batch.cancelled else []
    return plain(", ".join(parts))
