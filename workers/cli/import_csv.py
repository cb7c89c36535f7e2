"""`import`: enqueues a contact for each row of a CSV file."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import redis
import typer

from actors import JOBS, InvalidJob
from config import Settings, load_settings, redact_text
from config.keys import Keys
from workers.cli.import_progress import ImportProgress, Tally
from workers.contacts_csv import ContactsFile, Row, UnusableFile
from workers.producer import Enqueued, enqueue_all, job_message
from workers.redis_link import is_outage, sync_client
from workers.refused_csv import RefusedFile, free_name

__all__ = ["import_csv"]

#: Jobs enqueued in one step.
BATCH = 500
#: How long an import waits for a Redis that went away in its midst, in seconds.
PATIENCE_SECONDS = 300.0
PAUSE_SECONDS = 0.5

_ADD_CONTACT = JOBS["add_contact"]


def import_csv(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False, readable=True)],
    channel: Annotated[str, typer.Option(help="sms or email.")],
    group_id: Annotated[str, typer.Option(help="The group they are added to, e.g. gro_119251.")],
    refused: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where refused rows go; else FILE.refused.csv. Must not exist."),
    ] = None,
    correlation_id: Annotated[
        str | None, typer.Option(help="Echoed in logs and events of every row's job.")
    ] = None,
    deadline_seconds: Annotated[
        int | None, typer.Option(min=1, help="How long each job may wait; else JOB_DEADLINE_SECONDS.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON line.")] = False,
) -> None:
    """Enqueue a contact for each row of a CSV file.

    The first line names the columns, in any order and letter case: `phone` (sms) or `email` (email), `first_name`, `last_name`,
    `customfield1`-`customfield7` (sms) or `custom1`-`custom10` (email). UTF-8; commas, semicolons or tabs.

    Wrong rows are listed with their line numbers and written to a file that can be mended and imported again; the rest goes on.
    Running an import again adds nobody twice. Exit code 1 if any row was refused.

    Examples:

        coupontools-worker import people.csv --channel sms --group-id gro_119251

        coupontools-worker import people.refused.csv --channel sms --group-id gro_119251
    """
    constant = _constant_arguments(channel, group_id, correlation_id, deadline_seconds)
    if refused is not None and refused.exists():
        raise typer.BadParameter("exists already and is not overwritten", param_hint="--refused")
    target = refused or free_name(file)
    if not os.access(target.parent, os.W_OK):
        raise typer.BadParameter(
            f"no file can be created in {target.parent}; choose another with --refused",
            param_hint="--refused",
        )
    settings = load_settings(require_credentials=False)
    tally = Tally()
    try:
        with (
            ContactsFile(file, channel) as contacts,
            RefusedFile(target, contacts.header, contacts.delimiter) as out,
            sync_client(settings.redis_url) as client,
            _stopping() as stop,
        ):
            client.ping()
            with ImportProgress(tally, contacts.size) as progress:
                problem = _Import(client, settings, tally, progress, stop, constant).run(contacts, out)
            backlog = client.llen(Keys.of(settings).queue("contacts").ready) if problem is None else 0
    except UnusableFile as error:
        typer.echo(f"{file.name}: {error}", err=True)
        raise typer.Exit(2 if not tally.rows else 1) from None
    except OSError as error:
        typer.echo(f"{error.filename or file}: {error.strerror}; {_how_far(tally)}", err=True)
        raise typer.Exit(1) from None
    except redis.RedisError as error:
        typer.echo(f"Redis does not answer: {redact_text(str(error))}; {_how_far(tally)}", err=True)
        raise typer.Exit(1) from None
    _summary(tally, target if out.created else None, complete=problem is None, as_json=as_json)
    if problem is not None:
        typer.echo(f"{problem}; {_how_far(tally)}", err=True)
        raise typer.Exit(128 + stop.number if stop.number else 1)
    _warn_of_deadline(settings, int(backlog), deadline_seconds)
    raise typer.Exit(1 if tally.refused else 0)


@dataclass(slots=True)
class _Stop:
    """Ctrl-C or SIGTERM, and which."""

    event: threading.Event
    number: int = 0

    def __call__(self, number: int, _: object) -> None:
        if self.number:
            # Told twice: now.
            sys.exit(128 + number)
        self.number = number
        self.event.set()


@contextmanager
def _stopping() -> Iterator[_Stop]:
    stop = _Stop(threading.Event())
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Import:
    """One run over one file."""

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        tally: Tally,
        progress: ImportProgress,
        stop: _Stop,
        constant: dict[str, Any],
    ) -> None:
        self._client = client
        self._keys = Keys.of(settings)
        self._tally = tally
        self._progress = progress
        self._stop = stop
        self._constant = constant

    def run(self, contacts: ContactsFile, out: RefusedFile) -> str | None:
        """Enqueues row by row. Answers what stopped it before the end, None when nothing did."""
        batch: list[Enqueued] = []
        for row in contacts.rows():
            self._tally.rows += 1
            problem = row.problem or self._take(row, batch)
            if problem:
                self._tally.refused += 1
                out.add(row, problem)
                self._progress.refused(row.line, problem)
            if len(batch) >= BATCH or (self._stop.number and self._tally.rows):
                if stopped := self._enqueue(batch):
                    return stopped
                batch.clear()
                self._tally.line = row.line
                self._progress.update(contacts.position)
                if self._stop.number:
                    return "stopped"
        stopped = self._enqueue(batch)
        self._progress.update(contacts.size)
        return stopped

    def _take(self, row: Row, batch: list[Enqueued]) -> str | None:
        arguments = {**self._constant, **row.arguments}
        try:
            _ADD_CONTACT.parse(arguments)
        except InvalidJob as error:
            return str(error)
        batch.append(job_message("add_contact", arguments))
        return None

    def _enqueue(self, batch: list[Enqueued]) -> str | None:
        """Enqueues a batch, however often Redis goes away meanwhile. Answers why it could not."""
        until = time.monotonic() + PATIENCE_SECONDS
        waiting = False
        while batch:
            try:
                enqueue_all(self._client, self._keys, batch)
            except redis.RedisError as error:
                if not is_outage(error):
                    raise
                if not waiting:
                    self._progress.say(f"Redis does not answer, waiting for it: {redact_text(str(error))}")
                waiting = True
                if time.monotonic() > until:
                    return f"Redis did not answer for {PATIENCE_SECONDS:g} s"
                if self._stop.event.wait(PAUSE_SECONDS):
                    return "stopped while Redis did not answer"
                continue
            if waiting:
                self._progress.say("Redis is back")
            self._tally.enqueued += len(batch)
            return None
        return None


def _constant_arguments(
    channel: str, group_id: str, correlation_id: str | None, deadline_seconds: int | None
) -> dict[str, Any]:
    """What all rows have in common, checked once instead of being refused a million times."""
    given = {
        "channel": channel,
        "group_id": group_id,
        "correlation_id": correlation_id,
        "deadline_seconds": deadline_seconds,
    }
    constant = {name: value for name, value in given.items() if value is not None}
    try:
        JOBS["list_contacts"].parse(constant)
    except InvalidJob as error:
        problem = error.problems[0]
        raise typer.BadParameter(problem.message, param_hint=f"--{problem.field.replace('_', '-')}") from None
    return constant


def _how_far(tally: Tally) -> str:
    if not tally.enqueued:
        return "nothing was enqueued"
    return (
        f"everything up to line {tally.line:,} is enqueued ({tally.enqueued:,} contacts); "
        "running the import again is harmless and adds nobody twice"
    )


def _summary(tally: Tally, refused: Path | None, *, complete: bool, as_json: bool) -> None:
    # Linux counts in KiB, macOS in bytes: man 2 getrusage.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    if as_json:
        told = {
            "rows": tally.rows,
            "enqueued": tally.enqueued,
            "refused": tally.refused,
            "refused_file": None if refused is None else str(refused),
            "complete": complete,
            "seconds": round(tally.seconds, 3),
            "rows_per_second": round(tally.rate, 1),
            "peak_memory_mib": round(peak, 1),
        }
        typer.echo(orjson.dumps(told))
        return
    typer.echo(f"{tally} ({tally.seconds:,.1f} s, at most {peak:,.0f} MiB of memory)")
    if refused is not None:
        typer.echo(f"refused rows are in {refused}: mend them there and import that file")


def _warn_of_deadline(settings: Settings, backlog: int, deadline_seconds: int | None) -> None:
    """Jobs expire by themselves; an import that takes longer than they live should not come as a surprise."""
    rate = settings.coupontools_rate_limit
    lives = deadline_seconds or settings.job_deadline_seconds
    if rate and backlog / rate > lives:
        typer.echo(
            f"warning: {backlog:,} contacts wait; at {rate:g} requests a second they take {backlog / rate / 3600:,.1f} h, but a job "
            f"expires after {lives / 3600:,.1f} h: raise COUPONTOOLS_RATE_LIMIT or JOB_DEADLINE_SECONDS (for the worker, at any time), "
            "or import with --deadline-seconds",
            err=True,
        )
