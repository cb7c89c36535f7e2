"""`job`: where a job is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from actors import JOBS
from workers.cli.output import plain, say, say_json
from workers.cli.settings import command_settings
from workers.lookup import Found, Lookup, by_argument, by_id, by_key
from workers.redis_link import sync_client
from workers.state import account_keys, read_workers

__all__ = ["job", "looking"]


@contextmanager
def looking() -> Iterator[Lookup]:
    """Open what looks for jobs."""
    settings = command_settings()
    with sync_client(settings.redis_url) as client:
        workers, _ = read_workers(client, settings)
        yield Lookup(client, account_keys(settings, workers), workers)


def job(
    message_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Its message id.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="K", help="Its idempotency key, given or derived.")
    ] = None,
    actor: Annotated[str | None, typer.Option(metavar="A", help=f"With the key: {', '.join(JOBS)}.")] = None,
    correlation_id: Annotated[str | None, typer.Option(metavar="C", help="Its correlation id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON line for each job.")] = False,
) -> None:
    """Say where a job is: waiting, delayed, held, running, unknown, answered or dead. Exit 1 if there is none.

    What waits is found in seconds among a million; what was answered, as long as the event stream has it.

    Examples:

        coupontools-worker job 8f14e45f-ceea-467f-a9c0-1f2c8c6b3b7a

        coupontools-worker job --correlation-id order-42 --json
    """
    if sum(given is not None for given in (message_id, idempotency_key, correlation_id)) != 1:
        raise typer.BadParameter("give one of ID, --idempotency-key and --correlation-id", param_hint="ID")
    if actor is not None and actor not in JOBS:
        raise typer.BadParameter(
            f"there is no job {actor!r}; known are {', '.join(JOBS)}", param_hint="--actor"
        )
    with looking() as lookup:
        if message_id is not None:
            found = list(find_by_id(lookup, message_id))
        elif idempotency_key is not None:
            key = idempotency_key
            found = list(
                lookup.find(
                    by_key(key, actor),
                    lambda event: event.get("idempotencykey") == key,
                    "" if key.startswith("derived:") else key,
                )
            )
        else:
            wanted = str(correlation_id)
            found = list(
                lookup.find(
                    by_argument("correlation_id", wanted),
                    lambda event: event.get("correlationid") == wanted,
                    wanted,
                )
            )
    if not found:
        missing = Found(message_id or "", "not_found")
        if as_json:
            say_json(asdict(missing))
        else:
            say("not found", err=True)
        raise typer.Exit(1)
    for each in found:
        if as_json:
            say_json(asdict(each))
        else:
            say(_line(each))


def find_by_id(lookup: Lookup, message_id: str) -> Iterator[Found]:
    """Yield the job of this message id; one that was sent again is told of by the first id, too."""

    def answers(event: dict[str, object]) -> bool:
        event_id = str(event.get("id"))
        return event_id == message_id or event_id.rpartition("/")[0] == message_id

    yield from lookup.find(by_id(message_id), answers, message_id)


def _line(found: Found) -> str:
    parts = [found.message_id, found.state]
    for name, text in (
        ("", found.job),
        ("queue", found.queue),
        ("since", found.since),
        ("attempts", None if found.attempts is None else str(found.attempts)),
        ("until", found.until),
        ("worker", found.worker),
        ("read back at", found.read_back_at),
        ("event", None if found.event is None else str(found.event.get("type"))),
        ("because", found.reason),
    ):
        if text:
            parts.append(f"{name} {text}".strip())
    return plain(", ".join(parts))
