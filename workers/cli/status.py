"""`status`: how much work is where, who does it, and what is held."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any

import redis
import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from config import Settings
from workers.cli.output import plain, say, say_json
from workers.cli.settings import command_settings
from workers.halts import halts, pace
from workers.other_queues import OtherQueues, find_other_queues
from workers.redis_link import Patience, sync_client, trouble_of
from workers.state import QueueState, State, read_state

__all__ = ["status"]

WATCH_SECONDS = 1.0


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again every second, until Ctrl-C.")
    ] = False,
) -> None:
    """Show the queues, the workers, and what is held and why.

    It takes the same time however many jobs wait. Once, for a second at most, it searches all keys for queues that no worker knows.

    Examples:

        coupontools-worker status

        coupontools-worker status --watch

        coupontools-worker status --json | jq .queues.contacts.ready
    """
    settings = command_settings()
    with sync_client(settings.redis_url) as client:
        others = find_other_queues(client, settings)
        if not watch:
            state = read_state(client, settings, others)
            if as_json:
                say_json(_as_json(state))
            else:
                console = Console()
                console.print(_tables(state, console.width))
        elif as_json:
            patience = Patience(lambda text: say(text, err=True))
            while True:
                say_json(_as_json(patience.ask(lambda: read_state(client, settings, others))))
                time.sleep(WATCH_SECONDS)
        else:
            _watch(client, settings, others)


def _watch(client: redis.Redis, settings: Settings, others: OtherQueues) -> None:
    console = Console()
    # Without a terminal, Rich's `Live` shows nothing but its last picture, at the end.
    while not console.is_terminal:
        console.print(_look(client, settings, others, console.width))
        time.sleep(WATCH_SECONDS)
    with Live(_look(client, settings, others, console.width), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            live.update(_look(client, settings, others, console.width), refresh=True)


def _look(client: redis.Redis, settings: Settings, others: OtherQueues, width: int) -> RenderableType:
    """Return the tables, or the line that Redis does not answer: somebody who watches wants to see when Redis is back."""
    try:
        return _tables(read_state(client, settings, others), width)
    except redis.RedisError as error:
        return Text(plain(trouble_of(error)), style="red")


def _as_json(state: State) -> dict[str, Any]:
    return {
        "queues": {name: asdict(queue) for name, queue in state.queues.items()},
        "workers": [
            {"id": worker.id, "queues": worker.queues, "seen_seconds_ago": worker.seen_seconds_ago}
            for worker in state.workers
        ],
        "holds": [asdict(hold) for hold in state.holds],
        "rate": state.rate,
        "redis": {
            "writable": state.redis.writable,
            "forgot_at": state.redis.forgot_at,
            "warnings": state.redis.problems + state.redis.warnings,
        },
    }


def _tables(state: State, width: int) -> RenderableType:
    parts: list[RenderableType] = [_queues(state, width), Text()]
    parts += [Text(plain(sentence), style="bold red") for sentence in halts(state)]
    parts.append(Text(f"{'' if state.holds else 'nothing is held; '}pace: {pace(state)}"))
    # The workers come last, because `--watch` cuts off what does not fit on the terminal.
    parts += [Text(), _workers(state)]
    return Group(*parts)


#: The numbers that are shown of each queue.
COLUMNS = ("ready", "delayed", "running", "parked", "dead", "oldest", "a minute", "left")
#: On a narrower terminal each queue is a column, and each of these numbers a row.
WIDE = 90


def _queues(state: State, width: int) -> Table:
    cells = {name: _cells(queue) for name, queue in state.queues.items()}
    if width >= WIDE:
        table = _table("queue", *COLUMNS)
        for name, row in cells.items():
            table.add_row(Text(plain(name)), *row)
        return table
    table = _table("", *cells)
    table.show_lines, table.box, table.padding = False, None, (0, 1, 0, 0)
    for number, column in enumerate(COLUMNS):
        table.add_row(column, *(row[number] for row in cells.values()))
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(plain(column), justify="right", overflow="fold")
    return table


def _cells(queue: QueueState) -> list[Text]:
    numbers = [f"{number:,}" for number in (queue.ready, queue.delayed, queue.running, queue.parked)]
    times = [_age(queue.oldest_seconds), f"{queue.per_minute:,.0f}", _left(queue)]
    dead = Text(f"{queue.dead:,}", style="red" if queue.dead else "")
    return [*map(Text, numbers), dead, *map(Text, times)]


def _left(queue: QueueState) -> str:
    """Return how long the waiting jobs will take; "?" if jobs wait and none is answered."""
    return "?" if queue.left_seconds is None else _age(queue.left_seconds or None)


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 3600 else f"{seconds / 3600:,.1f} h"


def _workers(state: State) -> RenderableType:
    if not state.workers:
        return Text("no worker is running", style="yellow")
    table = Table(show_edge=False, pad_edge=False)
    for column in ("worker", "queues"):
        table.add_column(column, overflow="fold")
    table.add_column("seen", justify="right")
    for worker in state.workers:
        seen = Text(f"{worker.seen_seconds_ago:.1f} s ago", style="" if worker.lives else "red")
        table.add_row(Text(plain(worker.id)), Text(plain(", ".join(worker.queues))), seen)
    return table
