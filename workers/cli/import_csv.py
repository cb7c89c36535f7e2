"""`import`: enqueues a contact for each row of a CSV file."""

from __future__ import annotations

import resource
import sys
import uuid
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import redis
import typer

from config import Settings, redact_text
from config.keys import Keys
from delivery import Policy, sizing
from workers.cli.import_options import columns_of_file, constant_arguments, country_of_numbers, refused_file
from workers.cli.import_progress import ImportProgress
from workers.cli.import_signals import noted_signals
from workers.cli.job_options import LARGEST_NUMBER
from workers.cli.output import plain, say, say_json
from workers.cli.settings import command_settings
from workers.imports import (
    BULK,
    STDIN,
    SURE_SHARE,
    ContactsFile,
    ImportRun,
    ImportTime,
    RefusedFile,
    Stopped,
    Tally,
    UnusableFile,
)
from workers.redis_link import ThreadRunner, sync_client

__all__ = ["import_csv"]


def import_csv(
    file: Annotated[
        Path,
        # Its `exists=True` and `allow_dash=True` exclude each other (Typer 0.29 compares a Path with "-").
        typer.Argument(
            metavar="FILE.csv", help="The file, or - for standard input.", dir_okay=False, readable=True
        ),
    ],
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
            min=1,
            max=LARGEST_NUMBER,
            help="How long each job may wait. Else JOB_DEADLINE_SECONDS, or three times as long as the contacts take at the "
            "share of the pace that imports are sure of, whichever is longer.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only check the rows: nothing is enqueued, and Redis is not needed."),
    ] = False,
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
    if file != STDIN and not file.exists():
        raise typer.BadParameter(f"file '{file}' does not exist", param_hint="FILE.csv")
    batch = batch_id or str(uuid.uuid4())
    constant = constant_arguments(channel, group_id, correlation_id, deadline_seconds, batch)
    numbers_of = country_of_numbers(country, channel)
    columns = columns_of_file(column or [], channel)
    target = refused_file(refused, file, dry_run=dry_run)
    settings = command_settings()
    keys = Keys.of(settings)
    tally = Tally(dry_run=dry_run)
    shown = "standard input" if file == STDIN else file.name
    stopped: Stopped | None = None
    try:
        with (
            ContactsFile(
                file, channel, country=numbers_of, columns=columns, ignore_columns=ignore_columns
            ) as contacts,
            RefusedFile(target, contacts.columns) as out,
            _client(settings, dry_run=dry_run) as client,
            noted_signals() as signals,
        ):
            if client is not None:
                client.ping()
            pace = ImportTime.of(settings, client, contacts.most_rows, deadline_seconds)
            with ImportProgress(tally, contacts.size) as progress:
                try:
                    ImportRun(client, keys, constant | pace.arguments, tally, progress, signals).run(
                        contacts, out
                    )
                except Stopped as error:
                    stopped = error
            # Of one that was stopped, as many as were enqueued; going on under the same id makes it larger.
            if client is not None and tally.enqueued and not (stopped and stopped.redis_away):
                ThreadRunner(client).run(*sizing(keys, Policy.of(settings), batch, tally.enqueued))
            waiting = tally.right if dry_run else tally.enqueued
            if client is not None and stopped is None:
                # Earlier imports wait there, too.
                waiting = client.llen(keys.queue(BULK).ready)
    except UnusableFile as error:
        say(f"{shown}: {error}", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        say(f"{error.filename or shown}: {error.strerror}; {_how_far(tally)}", err=True)
        raise typer.Exit(1) from None
    except redis.RedisError as error:
        say(f"Redis does not answer: {redact_text(str(error))}; {_how_far(tally)}", err=True)
        raise typer.Exit(1) from None
    _summary(
        tally,
        pace,
        waiting,
        target if out.created else None,
        batch=None if dry_run else batch,
        complete=stopped is None,
        as_json=as_json,
    )
    if stopped is not None:
        say(f"{stopped}; {_how_far(tally)}", err=True)
        raise typer.Exit(128 + signals[0] if signals else 1)
    if pace.expires_first(waiting):
        say(
            f"warning: {waiting:,} contacts wait, and the last of them expire before it is their turn: raise COUPONTOOLS_RATE_LIMIT, or "
            "import with a larger --deadline-seconds",
            err=True,
        )
    raise typer.Exit(1 if tally.refused else 0)


def _client(settings: Settings, *, dry_run: bool) -> AbstractContextManager[redis.Redis | None]:
    """Return a client of Redis, or none for a dry run."""
    return nullcontext() if dry_run else sync_client(settings.redis_url)


def _how_far(tally: Tally) -> str:
    if not tally.enqueued:
        return "nothing was enqueued"
    return (
        f"everything up to line {tally.line:,} is enqueued ({tally.enqueued:,} contacts); "
        "running the import again is harmless and adds nobody twice"
    )


def _summary(
    tally: Tally,
    pace: ImportTime,
    waiting: int,
    refused: Path | None,
    *,
    batch: str | None,
    complete: bool,
    as_json: bool,
) -> None:
    # Linux counts in KiB, macOS in bytes: man 2 getrusage.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    if as_json:
        told = {
            # It does not look who is in the group.
            "batch_id": None if batch is None else plain(batch),
            "rows": tally.rows,
            "enqueued": tally.enqueued,
            "refused": tally.refused,
            "repeated": tally.repeated,
            "present": 0,
            "refused_file": None if refused is None else plain(str(refused)),
            "complete": complete,
            "dry_run": tally.dry_run,
            "waiting": waiting,
            "deadline_seconds": pace.deadline_seconds,
            "seconds_at_pace": pace.seconds(waiting),
            "seconds_at_sure_share": pace.seconds(waiting, SURE_SHARE),
            "seconds": round(tally.seconds, 3),
            "rows_per_second": round(tally.rate, 1),
            "peak_memory_mib": round(peak, 1),
        }
        say_json(told)
        return
    say(f"{tally} ({tally.seconds:,.1f} s, at most {peak:,.0f} MiB of memory)")
    if waiting:
        say(pace.told(waiting))
    if tally.dry_run:
        say("nothing was enqueued: this was a dry run")
    if batch is not None and tally.enqueued:
        say(f"batch {batch}: `coupontools-worker batches {batch}` shows how far it is")
    if refused is not None:
        say(f"refused rows are in {refused}: mend them there and import that file")
