"""`demo`: the whole line on this machine, and proof that it keeps what it promises."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType
from typing import Annotated

import orjson
import redis
import typer

from workers.cli.demo_parts import DemoError, Parts
from workers.cli.demo_play import Answer, Report, play
from workers.cli.demo_table import DemoTable, console
from workers.embedded import NoRedisServer

__all__ = ["demo"]

#: What ends a demo from outside.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def demo(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each event and a summary as JSON lines.")
    ] = False,
) -> None:
    """Show everything at work on this machine, in a few seconds and without an account.

    Starts a private Redis, the stand-in of the Coupontools API and a worker; enqueues each of the five jobs, a wrong one, a repeated one, a
    forged webhook, half a message, and a contact whose answer gets lost; shows each answer; stops everything. Exit 0 only if every event is
    exactly as it must be.

    Examples:

        coupontools-worker demo

        coupontools-worker demo --json | jq .type
    """
    with _stopped_by_signals():
        try:
            report = _as_json() if as_json else _as_table()
        except (DemoError, NoRedisServer, redis.RedisError) as error:
            typer.echo(f"demo: {error}", err=True)
            raise typer.Exit(1) from None
    raise typer.Exit(1 if report.differences else 0)


def _as_table() -> Report:
    table = DemoTable(console())
    began = time.monotonic()
    table.say("Starting a private Redis, the stand-in of the Coupontools API and a worker ...")
    with Parts() as parts:
        table.say(f"Redis at {parts.server.url}, API at {parts.sandbox.url}.\n")
        table.begin()
        report = play(parts, table.row)
        table.end(report)
        if report.differences:
            typer.echo(f"The end of the worker's log:\n{parts.log_tail()}", err=True)
    verdict = "Something was not as it must be." if report.differences else "All as expected."
    table.say(f"\n{verdict} Everything is stopped again after {time.monotonic() - began:.1f} s.")
    return report


def _as_json() -> Report:
    def show(answer: Answer) -> None:
        sys.stdout.buffer.write(answer.raw + b"\n")
        sys.stdout.buffer.flush()

    with Parts() as parts:
        report = play(parts, show)
    typer.echo(orjson.dumps({"summary": {"ok": not report.differences, **asdict(report)}}))
    return report


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """The first signal ends the demo and stops its parts; more of them do not disturb the stopping."""

    def stop(number: int, _: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
