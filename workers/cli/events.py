"""`events`: shows the stream of answers."""

from __future__ import annotations

from typing import Annotated

import typer

from actors import EVENTS
from delivery import PREFIX
from workers.cli.output import say, say_json
from workers.cli.settings import command_settings
from workers.cli.show import event_line
from workers.redis_link import sync_client
from workers.stream import Event, end_of_stream, follow, history

__all__ = ["events"]


def events(
    follow_on: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new events, until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One CloudEvent as JSON a line.")] = False,
    only: Annotated[
        str | None, typer.Option("--type", metavar="T", help="Only this type, e.g. contact.failed.")
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Leave out what is on the stream already; with --follow.")
    ] = False,
) -> None:
    """Read the events that answer jobs, oldest first.

    Examples:

        coupontools-worker events

        coupontools-worker events --follow --new --type contact.failed

        coupontools-worker events --json | jq .data
    """
    wanted = None if only is None else only.removeprefix(PREFIX)
    if wanted is not None and wanted not in EVENTS:
        raise typer.BadParameter(
            f"there is no type {only!r}; known are {', '.join(EVENTS)}", param_hint="--type"
        )
    settings = command_settings()
    shown = 0

    def show(event: Event) -> None:
        nonlocal shown
        if wanted and event.type != PREFIX + wanted:
            return
        shown += 1
        # Print each event at once: a stream may hold a million.
        if as_json:
            say_json(event.raw)
        else:
            say(event_line(event.event))

    with sync_client(settings.redis_url) as client:
        last = end_of_stream(client, settings.events_stream) if new else "0-0"
        if not new:
            for event in history(client, settings.events_stream):
                show(event)
                last = event.entry_id
        if not follow_on:
            if not shown and not as_json:
                say("no events")
            return
        for coming in follow(client, settings.events_stream, last):
            if coming is not None:
                show(coming)
