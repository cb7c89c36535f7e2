"""`import`: enqueues a contact for each row of a CSV file."""

from __future__ import annotations

import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import redis
import typer

from config.keys import Keys
from workers.cli.import_options import (
    check_failed_folder,
    check_source,
    check_together,
    columns_of_file,
    refused_file,
    told_as_usage,
)
from workers.cli.import_progress import ImportProgress
from workers.cli.import_summary import Summary
from workers.cli.job_options import LARGEST_NUMBER
from workers.cli.output import say
from workers.cli.settings import check_pair, command_settings
from workers.imports import (
    BULK,
    STDIN,
    BatchCancelled,
    ContactsFile,
    Import,
    ImportTime,
    KeptRows,
    NotListed,
    People,
    Stopped,
    Tally,
    UnusableFile,
    constant_arguments,
    country_of_numbers,
    free_name,
)
from workers.redis_link import sync_client, trouble_of

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
    group_id: Annotated[str, typer.Option(help="The group that the contacts are added to, e.g. gro_119251.")],
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=NAME",
            help="Read the column NAME of the file as COLUMN, e.g. phone=Mobile; may be given several times.",
        ),
    ] = None,
    ignore_columns: Annotated[
        bool, typer.Option("--ignore-columns", help="Leave out unknown columns.")
    ] = False,
    country: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Numbers without `+` are those of this country, e.g. BE."),
    ] = None,
    refused: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The new file for refused rows; by default FILE.refused.csv."),
    ] = None,
    correlation_id: Annotated[
        str | None, typer.Option(help="Echoed in logs and events of every row's job.")
    ] = None,
    batch_id: Annotated[
        str | None,
        typer.Option(help="The batch of the import's jobs; by default a new one, whose id is printed."),
    ] = None,
    deadline_seconds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=LARGEST_NUMBER,
            help="How many seconds each job may wait. By default the larger of JOB_DEADLINE_SECONDS and three times the time that "
            "the contacts take at the share of the pace that imports are sure of.",
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Follow the answers, and write the rows that failed to FILE.failed.csv. After Ctrl-C the jobs go on.",
        ),
    ] = False,
    skip_present: Annotated[
        bool,
        typer.Option(
            "--skip-present", help="List the group first, by a job, and leave out the contacts that it has."
        ),
    ] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="The same, and add again the contacts of earlier jobs that were removed at the vendor since.",
        ),
    ] = False,
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
    A number or an address that is in the file twice is reported with both lines and added once. Running an import again adds nobody twice;
    with --batch-id an interrupted import goes on. Exit code 1 if any row was refused, or failed while --wait followed it.

    Examples:

        coupontools-worker import people.csv --channel sms --group-id gro_119251 --wait

        coupontools-worker import people.csv --channel sms --group-id gro_119251 --country BE --column phone=Mobile

        coupontools-worker import people.refused.csv --channel sms --group-id gro_119251
    """
    check_source(file)
    batch = str(uuid.uuid4()) if batch_id is None else batch_id
    with told_as_usage():
        constant = constant_arguments(
            channel=channel,
            group_id=group_id,
            correlation_id=correlation_id,
            deadline_seconds=deadline_seconds,
            batch_id=batch,
        )
        numbers_of = country_of_numbers(country, channel)
    columns = columns_of_file(column or [], channel)
    check_together(wait=wait, lists=skip_present or again, dry_run=dry_run)
    target = refused_file(refused, file, dry_run=dry_run)
    instead = partial(free_name, file, "refused") if refused is None else None
    if wait:
        check_failed_folder(file)
    settings = command_settings()
    told = Summary(None if dry_run else batch, Tally(dry_run=dry_run), again)
    shown = "standard input" if file == STDIN else file.name
    stopped: Stopped | None = None
    try:
        with (
            ContactsFile(
                file, channel, country=numbers_of, columns=columns, ignore_columns=ignore_columns
            ) as contacts,
            KeptRows(target, contacts.columns, instead) as out,
            nullcontext() if dry_run else sync_client(settings.redis_url) as client,
            _noted_signals() as signals,
        ):
            if client is not None:
                check_pair(client, settings)
            told.pace = ImportTime.of(settings, client, contacts.most_rows, deadline_seconds)
            told.of = Import(
                client,
                settings,
                People(constant | told.pace.arguments, again=again),
                list_first=skip_present or again,
                wait=wait,
                failed_path=partial(free_name, file, "failed"),
                tally=told.tally,
            )
            with ImportProgress(told.tally, contacts.size) as progress:
                try:
                    told.of.carry_out(contacts, out, progress, signals)
                except Stopped as error:
                    stopped = error
            told.refused_file = out.path if out.created else None
            if client is not None and stopped is None:
                # Contacts of earlier imports wait in this queue, too.
                told.waiting = client.llen(Keys.of(settings).queue(BULK).ready)
    except UnusableFile as error:
        say(f"{shown}: {error}", err=True)
        raise typer.Exit(2) from None
    except NotListed as error:
        say(f"{error}; nothing was enqueued", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        say(f"{error.filename or shown}: {error.strerror}; {told.how_far()}", err=True)
        raise typer.Exit(1) from None
    except redis.RedisError as error:
        say(f"{trouble_of(error)}; {told.how_far()}", err=True)
        raise typer.Exit(1) from None
    if told.tally.enqueued or not isinstance(stopped, BatchCancelled):
        told.show(as_json=as_json)
    if stopped is not None:
        say(f"{stopped}; {told.how_far(stopped)}", err=True)
        raise typer.Exit(128 + signals[0] if signals else 1)
    told.warn()
    raise typer.Exit(1 if told.tally.refused or (told.answers and told.answers.failed) else 0)


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM, so that the import ends between two steps, where nothing is lost. A second signal ends it at once."""
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
