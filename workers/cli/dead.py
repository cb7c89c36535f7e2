"""`dead`: the jobs that ended without success, by message id."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Annotated, Any

import typer

from config.names import QUEUES
from workers.broker import LETTER_KINDS, DeadLetter, DeadLetters, NotRetried, readable
from workers.cli.command import Command, check_known
from workers.cli.output import say, say_json
from workers.cli.settings import check_pair, command_settings
from workers.redis_link import sync_client
from workers.worker_list import AccountUnknown, account_keys, known_account_keys, read_workers

__all__ = ["dead"]


dead = typer.Typer(
    no_args_is_help=True,
    help="Look at jobs that failed or could not be read, and send them again. They are kept for 7 days.",
)

Queue = Annotated[
    str | None, typer.Option("--queue", metavar="Q", help=f"Only this queue: {', '.join(QUEUES)}.")
]
Kind = Annotated[
    str | None, typer.Option("--kind", metavar="K", help=f"Only this kind: {', '.join(LETTER_KINDS)}.")
]
Batch = Annotated[str | None, typer.Option("--batch", metavar="B", help="Only letters of this batch.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
_ROW = "{:<36}  {:<24}  {:<8}  {:<14}  {}"


@contextmanager
def _letters(
    queue: str | None,
    kind: str | None = None,
    batch: str | None = None,
    *,
    anew: bool = False,
    changes: bool = False,
) -> Iterator[DeadLetters]:
    check_known("queue", queue, QUEUES, "--queue")
    check_known("kind", kind, LETTER_KINDS, "--kind")
    settings = command_settings()
    with sync_client(settings.redis_url) as client:
        if changes:
            check_pair(client, settings)
        workers = read_workers(client, settings)
        try:
            # --anew forgets the record of a job that ended as unknown, and must know the account that the record belongs to.
            keys = (known_account_keys if anew else account_keys)(settings, workers)
        except AccountUnknown as error:
            say(f"nothing was done: {error}", err=True)
            raise typer.Exit(1) from None
        yield DeadLetters(client, keys, [queue] if queue else QUEUES, kind=kind, batch_id=batch)


@dead.command("list", cls=Command)
def list_letters(
    queue: Queue = None,
    kind: Kind = None,
    batch: Batch = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="At most this many.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the oldest of each queue first.

    Examples:

        coupontools-worker dead list

        coupontools-worker dead list --queue contacts --json | jq -r .message_id
    """
    with _letters(queue, kind, batch) as letters:
        number = 0
        for letter in islice(letters.oldest_first(), limit):
            if as_json:
                say_json(_told(letter))
                continue
            if not number:
                say(_ROW.format("id", "died at", "queue", "job", "why"))
            number += 1
            why = f"{letter.kind}{'' if letter.code is None else f' {letter.code}'}: {letter.message}"
            say(_ROW.format(letter.id, letter.died_at, letter.queue, letter.job, why))
        if not as_json and not number:
            say("no dead letters")


@dead.command("show", cls=Command)
def show_letter(
    message_id: Annotated[str, typer.Argument(metavar="ID", help="Message id, as `dead list` prints it.")],
    queue: Queue = None,
    as_json: AsJson = False,
) -> None:
    """Show why a job died, and the whole message as it was enqueued. The output contains personal data.

    Example:

        coupontools-worker dead show 0f6d2f6e-5bd2-4b64-8e50-0a3a3b9a2f11
    """
    with _letters(queue) as letters:
        found = letters.find([message_id])[message_id]
        if not found:
            _not_found(message_id)
            raise typer.Exit(1)
        for letter in found:
            body = letters.body(letter) or b""
            message = readable(body)
            if as_json:
                say_json({**_told(letter), "body": message})
                continue
            for name, value in _told(letter).items():
                say(f"{name}: {'' if value is None else value}")
            if isinstance(message, str):
                say(message, keep="\n")
            else:
                say_json(message, indent=True)


@dead.command("retry", cls=Command)
def retry_letters(
    message_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="Message ids, as `dead list` prints them.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters that exist now.")] = False,
    anew: Annotated[
        bool,
        typer.Option(
            "--anew",
            help="Call again even for jobs that may have been carried out, because you have looked at the API.",
        ),
    ] = False,
    queue: Queue = None,
    kind: Kind = None,
    batch: Batch = None,
    as_json: AsJson = False,
) -> None:
    """Send dead letters again, each under a new message id.

    A job keeps its arguments, and with them its idempotency key and correlation id. If it may have been carried out already (kind
    unknown), the worker asks the API first, unless you say --anew. A job that fails again becomes a dead letter again.

    Examples:

        coupontools-worker dead retry 0f6d2f6e-5bd2-4b64-8e50-0a3a3b9a2f11

        coupontools-worker dead retry --all --queue contacts

        coupontools-worker dead retry --all --kind unknown --anew
    """
    if every == bool(message_ids):
        raise typer.BadParameter("give message ids, or --all", param_hint="ID...")
    with _letters(queue, kind, batch, anew=anew, changes=True) as letters:
        retried = problems = 0
        for letter in _chosen(letters, message_ids):
            if isinstance(letter, str):
                problems += 1
                continue
            try:
                new = letters.retry(letter, anew=anew)
            except NotRetried as error:
                problems += 1
                say(f"{letter.id} {error}", err=True)
                continue
            if new is None:
                # Somebody else has retried or purged it meanwhile.
                if not every:
                    problems += 1
                    say(f"{letter.id} is not there any more", err=True)
                continue
            retried += 1
            if as_json:
                say_json({"message_id": letter.id, "queue": letter.queue, "retried_as": new})
            else:
                say(f"{letter.id} -> {new}")
        if not as_json:
            say(f"{retried} retried" + (f", {problems} not" if problems else ""), err=True)
    raise typer.Exit(1 if problems else 0)


@dead.command("purge", cls=Command)
def purge_letters(
    queue: Queue = None,
    kind: Kind = None,
    batch: Batch = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget dead letters for good.

    Examples:

        coupontools-worker dead purge

        coupontools-worker dead purge --queue webhooks --yes
    """
    with _letters(queue, kind, batch, changes=True) as letters:
        began = letters.now()
        count = letters.count()
        where = f"of {queue}" if queue else "of all queues"
        if count and not yes:
            # Without a terminal, nobody could answer the question.
            if as_json or not sys.stdin.isatty():
                raise typer.BadParameter(
                    f"{count} dead letters {where} would be forgotten; say --yes", param_hint="--yes"
                )
            typer.confirm(f"forget {count} dead letters {where}?", abort=True, err=True)
        purged = sum(letters.purge(page) for page in letters.that_died_before(began))
    if as_json:
        say_json({"purged": purged})
    else:
        say(f"{purged} dead letters {where} forgotten")


def _chosen(letters: DeadLetters, message_ids: list[str] | None) -> Iterator[DeadLetter | str]:
    """Yield the letters that were asked for, and the bare id of each that does not exist."""
    if message_ids:
        for message_id, found in letters.find(message_ids).items():
            if not found:
                _not_found(message_id)
                yield message_id
            yield from found
        return
    # A job that dies again during the retry is left out, or the retry might go on for ever.
    for page in letters.that_died_before(letters.now()):
        yield from page


def _not_found(message_id: str) -> None:
    say(f"{message_id} is not a dead letter; see `coupontools-worker dead list`", err=True)


def _told(letter: DeadLetter) -> dict[str, Any]:
    return {
        "message_id": letter.id,
        "queue": letter.queue,
        "job": letter.job,
        "died_at": letter.died_at,
        "kind": letter.kind,
        "code": letter.code,
        "message": letter.message,
        "batch_id": letter.batch_id,
    }
