"""`events`: shows the event stream."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import redis
import typer

from actors import EVENTS
from delivery import PREFIX
from workers.cli.command import check_known
from workers.cli.output import say, say_json
from workers.cli.settings import command_settings
from workers.cli.show import event_line
from workers.redis_link import Patience, sync_client
from workers.stream import Event, answered_ids, end_of_stream, follow, history

__all__ = ["events"]

#: The largest number that an entry's id can have within its millisecond.
LAST_NUMBER = 2**64 - 1
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def events(
    follow_on: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new events as they come, until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one CloudEvent a line, as JSON.")] = False,
    only: Annotated[
        str | None, typer.Option("--type", metavar="T", help="Only this type, e.g. contact.failed.")
    ] = None,
    message_id: Annotated[
        str | None, typer.Option("--id", metavar="I", help="Only the answers to this message id.")
    ] = None,
    correlation_id: Annotated[
        str | None, typer.Option("--correlation-id", metavar="C", help="Only jobs with this correlation id.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="B", help="Only jobs of this batch.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Only events since then: 30s, 15m, 2h or 3d ago, or a time (RFC 3339).",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Stop after this many.")
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="With --follow: leave out events that are on the stream already.")
    ] = False,
) -> None:
    """Read the events that answer jobs, oldest first.

    Examples:

        coupontools-worker events

        coupontools-worker events --follow --new --type contact.failed

        coupontools-worker events --since 2h --batch spring-2026

        coupontools-worker events --json | jq .data
    """
    wanted = None if only is None else only.removeprefix(PREFIX)
    check_known("type", wanted, EVENTS, "--type")
    began = 0 if since is None else _moment(since)
    settings = command_settings()

    def matches(event: Event) -> bool:
        told = event.event
        return (
            (wanted is None or event.type == PREFIX + wanted)
            and (message_id is None or message_id in answered_ids(told))
            and (correlation_id is None or told.get("correlationid") == correlation_id)
            and (batch is None or told.get("batchid") == batch)
        )

    def every(client: redis.Redis) -> Iterator[Event]:
        # Follow from the last id before the moment: if the stream has no event after the moment yet, all earlier ones would be shown.
        last = f"{began - 1}-{LAST_NUMBER}" if began else "0-0"
        if new:
            last = end_of_stream(client, settings.events_stream)
        for event in history(client, settings.events_stream, str(began)) if not new else ():
            yield event
            last = event.entry_id
        if follow_on:
            patience = Patience(lambda text: say(text, err=True))
            yield from filter(None, follow(client, settings.events_stream, last, patience=patience))

    shown = 0
    with sync_client(settings.redis_url) as client:
        # Print each event at once: a stream may hold a million.
        for event in islice(filter(matches, every(client)), limit):
            shown += 1
            if as_json:
                say_json(event.raw)
            else:
                say(event_line(event.event))
    if not (shown or as_json):
        say("no events")


def _moment(since: str) -> int:
    """Return in Unix milliseconds when a span that ends now began, or the moment that a time names.

    Raises:
        typer.BadParameter: it is neither.
    """
    if span := re.fullmatch(r"([0-9]{1,9})([smhd])", since.strip()):
        return max(0, round((time.time() - int(span[1]) * _UNITS[span[2]]) * 1000))
    try:
        moment = datetime.fromisoformat(since.strip())
    except ValueError:
        raise typer.BadParameter(
            f"must be a span such as 2h or a time such as 2026-01-31T09:00:00Z; got {since!r}",
            param_hint="--since",
        ) from None
    return max(0, round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000))
