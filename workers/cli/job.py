"""`job`: where a job is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from actors import JOBS
from workers.cli.command import check_known
from workers.cli.output import say, say_json
from workers.cli.settings import command_settings
from workers.cli.show import shown
from workers.lookup import Found, Lookup
from workers.redis_link import sync_client

__all__ = ["job"]


def job(
    message_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Its message id.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="K", help="Its idempotency key, given or derived.")
    ] = None,
    actor: Annotated[
        str | None, typer.Option(metavar="A", help=f"With --idempotency-key: {', '.join(JOBS)}.")
    ] = None,
    correlation_id: Annotated[str | None, typer.Option(metavar="C", help="Its correlation id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON line for each job.")] = False,
) -> None:
    """Say where a job is: waiting, delayed, held, running, unknown, answered or dead. Exit 1 if there is none.

    An answered job is found at once, as long as the event stream or the record of outcomes has it. A job that waits is found within seconds
    among a million.

    Examples:

        coupontools-worker job 8f14e45f-ceea-467f-a9c0-1f2c8c6b3b7a

        coupontools-worker job --correlation-id order-42 --json
    """
    if sum(given is not None for given in (message_id, idempotency_key, correlation_id)) != 1:
        raise typer.BadParameter("give one of ID, --idempotency-key and --correlation-id", param_hint="ID")
    check_known("job", actor, JOBS, "--actor")
    settings = command_settings()
    with sync_client(settings.redis_url) as client:
        lookup = Lookup(client, settings, lambda text: say(text, err=True))
        if message_id is not None:
            found = list(lookup.by_ids([message_id]).values())
        elif idempotency_key is not None:
            found = list(lookup.by_key(idempotency_key, actor))
        else:
            found = list(lookup.by_correlation_id(str(correlation_id)))
    if not found:
        missing = Found(message_id or "", "not_found")
        if as_json:
            say_json(missing.told())
        else:
            say("not found", err=True)
        raise typer.Exit(1)
    for each in found:
        if as_json:
            say_json(each.told())
        else:
            say(_line(each))


def _line(found: Found) -> str:
    parts = [found.message_id or "(no message id)", found.state]
    for name, text in (
        ("", found.job),
        ("queue", found.queue),
        ("since", found.since),
        ("attempts", None if found.attempts is None else str(found.attempts)),
        ("until", found.until),
        ("worker", found.worker),
        ("read back at", found.read_back_at),
        ("", None if found.reason is None or found.state == "dead" else found.reason),
        ("", None if found.event is None else _gist(found.event)),
    ):
        if text:
            parts.append(f"{name} {text}".strip())
    return ", ".join(parts)


def _gist(event: dict[str, Any]) -> str:
    kind = str(event.get("type")).removeprefix("coupontools.")
    return f"{kind}: {shown(event)}" if isinstance(event.get("data"), dict) else kind
