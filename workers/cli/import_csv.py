"""`import`: enqueues a contact for each row of a CSV file."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import redis
import typer

from actors import JOBS, InvalidJob
from config import Settings, redact_text
from config.keys import Keys
from delivery import Policy, sizing
from workers.cli.import_progress import ImportProgress, Tally
from workers.cli.job_options import LARGEST_NUMBER, check_text
from workers.cli.output import plain, say, say_json
from workers.cli.settings import command_settings
from workers.contacts_csv import ContactsFile, Row
from workers.csv_columns import ERROR_COLUMN, UnusableFile, known_columns, same_name
from workers.first_lines import FirstLines
from workers.national_numbers import Country
from workers.producer import Enqueued, enqueue_all, job_message
from workers.redis_link import ThreadRunner, is_outage, sync_client
from workers.refused_csv import RefusedFile, free_name

__all__ = ["import_csv"]

#: Jobs enqueued in one step.
BATCH = 500
#: How long an import waits for a Redis that went away meanwhile, in seconds.
PATIENCE_SECONDS = 300.0
PAUSE_SECONDS = 0.5

_ADD_CONTACT = JOBS["add_contact"]
#: Their queue: a mass of contacts never delays a single one.
BULK = "bulk"


def import_csv(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False, readable=True)],
    channel: Annotated[str, typer.Option(help="sms or email.")],
    group_id: Annotated[str, typer.Option(help="The group they are added to, e.g. gro_119251.")],
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=NAME",
            help="The column that the file calls NAME, e.g. phone=Mobile; may be given several times.",
        ),
    ] = None,
    ignore_columns: Annotated[
        bool, typer.Option("--ignore-columns", help="Leave out the columns that nobody knows.")
    ] = False,
    country: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Numbers without `+` are those of this country, e.g. BE."),
    ] = None,
    refused: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where refused rows go; else FILE.refused.csv. Must not exist."),
    ] = None,
    correlation_id: Annotated[
        str | None, typer.Option(help="Echoed in logs and events of every row's job.")
    ] = None,
    batch_id: Annotated[
        str | None,
        typer.Option(help="The batch that its jobs are counted in; else a new one, which is printed."),
    ] = None,
    deadline_seconds: Annotated[
        int | None,
        typer.Option(
            min=1, max=LARGEST_NUMBER, help="How long each job may wait; else JOB_DEADLINE_SECONDS."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON line.")] = False,
) -> None:
    """Enqueue a contact for each row of a CSV file.

    The first line names the columns, in any order and letter case: `phone` (sms) or `email` (email), `first_name`, `last_name`,
    `customfield1`-`customfield7` (sms) or `custom1`-`custom10` (email). UTF-8; commas, semicolons or tabs. Only custom fields may hold line
    breaks.

    Wrong rows are listed with their line numbers and written to a file that can be mended and imported again; the rest goes on.
    A number or an address that stands in the file twice is told with both lines and added once. Running an import again adds nobody twice.
    Exit code 1 if any row was refused.

    Examples:

        coupontools-worker import people.csv --channel sms --group-id gro_119251

        coupontools-worker import people.csv --channel sms --group-id gro_119251 --country BE

        coupontools-worker import people.refused.csv --channel sms --group-id gro_119251
    """
    batch = batch_id or str(uuid.uuid4())
    constant = _constant_arguments(channel, group_id, correlation_id, deadline_seconds, batch)
    numbers_of = _country(country, channel)
    columns = _columns(column or [], channel)
    if refused is not None and refused.exists():
        raise typer.BadParameter("exists already and is not overwritten", param_hint="--refused")
    target = refused or free_name(file)
    if not os.access(target.parent, os.W_OK):
        raise typer.BadParameter(
            f"no file can be created in {target.parent}; choose another with --refused",
            param_hint="--refused",
        )
    settings = command_settings()
    keys = Keys.of(settings)
    tally = Tally()
    stopped: _Stopped | None = None
    try:
        with (
            ContactsFile(
                file, channel, country=numbers_of, columns=columns, ignore_columns=ignore_columns
            ) as contacts,
            RefusedFile(target, contacts.columns) as out,
            sync_client(settings.redis_url) as client,
            _noted_signals() as signals,
        ):
            client.ping()
            with ImportProgress(tally, contacts.size) as progress:
                try:
                    _Import(client, keys, constant, tally, progress, signals).run(contacts, out)
                except _Stopped as error:
                    stopped = error
            # Of one that was stopped, as many as were enqueued; going on under the same id makes it larger.
            if tally.enqueued and (stopped is None or not stopped.redis_away):
                ThreadRunner(client).run(*sizing(keys, Policy.of(settings), batch, tally.enqueued))
            backlog = client.llen(keys.queue(BULK).ready) if stopped is None else 0
    except UnusableFile as error:
        say(f"{file.name}: {error}", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        say(f"{error.filename or file}: {error.strerror}; {_how_far(tally)}", err=True)
        raise typer.Exit(1) from None
    except redis.RedisError as error:
        say(f"Redis does not answer: {redact_text(str(error))}; {_how_far(tally)}", err=True)
        raise typer.Exit(1) from None
    _summary(tally, batch, target if out.created else None, complete=stopped is None, as_json=as_json)
    if stopped is not None:
        say(f"{stopped}; {_how_far(tally)}", err=True)
        raise typer.Exit(128 + signals[0] if signals else 1)
    _warn_of_deadline(settings, int(backlog), deadline_seconds)
    raise typer.Exit(1 if tally.refused else 0)


class _Stopped(Exception):  # noqa: N818 - says what happened to the import
    """The import ended before the end of its file; the message says why."""

    def __init__(self, why: str, *, redis_away: bool = False) -> None:
        super().__init__(why)
        self.redis_away = redis_away


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM, so that the import ends between two batches. A second signal ends it at once."""
    signals: list[int] = []

    def note(number: int, _: object) -> None:
        if signals:
            sys.exit(128 + number)
        signals.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class _Import:
    """One run over one file."""

    client: redis.Redis
    keys: Keys
    constant: dict[str, Any]
    tally: Tally
    progress: ImportProgress
    #: The signals that have arrived.
    signals: list[int]
    first_lines: FirstLines = field(default_factory=FirstLines)

    def run(self, contacts: ContactsFile, refused: RefusedFile) -> None:
        """Enqueue a job for each right row, a batch at a time, and keep the wrong ones.

        Raises:
            _Stopped: by a signal, or because Redis was away for too long.
        """
        batch: list[Enqueued] = []
        for row in contacts.rows():
            self.tally.rows += 1
            problem = row.problem
            if problem is None:
                try:
                    batch += self._messages(row)
                except InvalidJob as error:
                    problem = str(error)
            if problem is not None:
                rows = refused.add(row, problem)
                self.tally.refused += rows
                self.tally.rows += rows - 1
                self.progress.refused(row.where, problem)
            if len(batch) >= BATCH or self.signals:
                self._enqueue(batch)
                batch.clear()
                self.tally.line = row.last_line
                self.progress.read(contacts.position)
                if self.signals:
                    raise _Stopped("stopped")
        self._enqueue(batch)
        self.progress.read(contacts.size)

    def _messages(self, row: Row) -> list[Enqueued]:
        """Return the message of a row; none where an earlier row has the same number or address.

        Raises:
            InvalidJob: an argument of the row is wrong.
        """
        arguments = {**self.constant, **row.arguments}
        job = _ADD_CONTACT.parse(arguments)
        if first := self.first_lines.note(job.needle(), row.line):
            self.tally.repeated += 1
            self.progress.repeated(row.where, first)
            return []
        return [job_message(_ADD_CONTACT.actor, arguments, BULK)]

    def _enqueue(self, batch: list[Enqueued]) -> None:
        """Enqueue a batch, and wait for Redis if it is away."""
        away_since: float | None = None
        while batch:
            try:
                enqueue_all(self.client, self.keys, batch)
            except redis.RedisError as error:
                if not is_outage(error):
                    raise
                if away_since is None:
                    away_since = time.monotonic()
                    self.progress.say(f"Redis does not answer, waiting for it: {redact_text(str(error))}")
                if time.monotonic() - away_since > PATIENCE_SECONDS:
                    raise _Stopped(
                        f"Redis did not answer for {PATIENCE_SECONDS:g} s", redis_away=True
                    ) from None
                if self.signals:
                    raise _Stopped("stopped while Redis did not answer", redis_away=True) from None
                time.sleep(PAUSE_SECONDS)
                continue
            if away_since is not None:
                self.progress.say("Redis is back")
            self.tally.enqueued += len(batch)
            return


def _constant_arguments(
    channel: str, group_id: str, correlation_id: str | None, deadline_seconds: int | None, batch_id: str
) -> dict[str, Any]:
    """Return the arguments that all rows have in common. They are checked here, or a wrong one would refuse every row."""
    given = {
        "channel": channel,
        "group_id": group_id,
        "correlation_id": correlation_id,
        "deadline_seconds": deadline_seconds,
        "batch_id": batch_id,
    }
    constant = {name: value for name, value in given.items() if value is not None}
    check_text(correlation_id, "--correlation-id")
    check_text(batch_id, "--batch-id")
    try:
        JOBS["list_contacts"].parse(constant)
    except InvalidJob as error:
        problem = error.problems[0]
        raise typer.BadParameter(problem.message, param_hint=f"--{problem.field.replace('_', '-')}") from None
    return constant


def _country(code: str | None, channel: str) -> Country | None:
    """Return the country whose numbers may lack their `+`."""
    if code is None:
        return None
    if channel != "sms":
        raise typer.BadParameter("is of use only with --channel sms", param_hint="--country")
    try:
        return Country(code)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--country") from None


def _columns(given: list[str], channel: str) -> dict[str, str]:
    """Return the names of the file's columns, by the known columns that they are."""
    check_text(given, "--column")
    columns: dict[str, str] = {}
    for item in given:
        column, sign, name = (part.strip() for part in item.partition("="))
        problem = None
        if not sign or not name:
            problem = f"must be COLUMN=NAME, e.g. phone=Mobile; got {item!r}"
        elif (column := same_name(column)) not in known_columns(channel):
            problem = f"'{column}' is none of {', '.join(known_columns(channel))}"
        elif column in columns:
            problem = f"'{column}' is given twice: {columns[column]!r} and {name!r}"
        elif same_name(name) in map(same_name, columns.values()):
            problem = f"the column {name!r} is given twice"
        elif same_name(name) == ERROR_COLUMN:
            problem = f"'{ERROR_COLUMN}' is the column of why a row was refused"
        if problem:
            raise typer.BadParameter(problem, param_hint="--column")
        columns[column] = name
    return columns


def _how_far(tally: Tally) -> str:
    if not tally.enqueued:
        return "nothing was enqueued"
    return (
        f"everything up to line {tally.line:,} is enqueued ({tally.enqueued:,} contacts); "
        "running the import again is harmless and adds nobody twice"
    )


def _summary(tally: Tally, batch: str, refused: Path | None, *, complete: bool, as_json: bool) -> None:
    # Linux counts in KiB, macOS in bytes: man 2 getrusage.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    if as_json:
        told = {
            "batch_id": plain(batch),
            "rows": tally.rows,
            "enqueued": tally.enqueued,
            "refused": tally.refused,
            "repeated": tally.repeated,
            "refused_file": None if refused is None else plain(str(refused)),
            "complete": complete,
            "seconds": round(tally.seconds, 3),
            "rows_per_second": round(tally.rate, 1),
            "peak_memory_mib": round(peak, 1),
        }
        say_json(told)
        return
    say(f"{tally} ({tally.seconds:,.1f} s, at most {peak:,.0f} MiB of memory)")
    if tally.enqueued:
        say(f"batch {batch}: `coupontools-worker batches {batch}` shows how far it is")
    if refused is not None:
        say(f"refused rows are in {refused}: mend them there and import that file")


def _warn_of_deadline(settings: Settings, backlog: int, deadline_seconds: int | None) -> None:
    """Warn where jobs would expire before a worker carries them out."""
    rate = settings.coupontools_rate_limit
    lives = deadline_seconds or settings.job_deadline_seconds
    if rate and backlog / rate > lives:
        say(
            f"warning: {backlog:,} contacts wait; at {rate:g} requests a second they take {backlog / rate / 3600:,.1f} h, but a job "
            f"expires after {lives / 3600:,.1f} h: raise COUPONTOOLS_RATE_LIMIT or JOB_DEADLINE_SECONDS (for the worker, at any time), "
            "or import with --deadline-seconds",
            err=True,
        )
