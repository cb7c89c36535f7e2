"""`enqueue`: enqueues one job."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from actors import JOBS, InvalidJob
from config import load_settings
from config.keys import Keys
from workers.cli.show import event_row, events_table, failed
from workers.producer import Enqueued, enqueue_all, job_message
from workers.redis_link import sync_client
from workers.stream import end_of_stream, follow, is_answer

__all__ = ["enqueue"]


class JobName(StrEnum):
    """The jobs, as an argument's choices."""

    add_contact = "add_contact"
    create_group = "create_group"
    verify_webhook = "verify_webhook"
    list_groups = "list_groups"
    list_contacts = "list_contacts"


def enqueue(
    job: Annotated[JobName, typer.Argument(help="Which job.")],
    channel: Annotated[str | None, typer.Option(help="sms or email.")] = None,
    group_id: Annotated[str | None, typer.Option(help="The group, e.g. gro_119251.")] = None,
    phone: Annotated[str | None, typer.Option(help="E.164, e.g. +32470123456; for sms.")] = None,
    email: Annotated[str | None, typer.Option(help="One address; for email.")] = None,
    first_name: Annotated[str | None, typer.Option(help="At most 255 characters.")] = None,
    last_name: Annotated[str | None, typer.Option(help="At most 255 characters.")] = None,
    custom_field: Annotated[
        list[str] | None, typer.Option(metavar="N=TEXT", help="Custom field N; may be given several times.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The new group's name.")] = None,
    payload: Annotated[
        str | None,
        typer.Option(metavar="FILE or -", help="The webhook's body, from a file or standard input."),
    ] = None,
    webhook_id: Annotated[
        str | None, typer.Option(help="evt_ id alone, when the body is not at hand.")
    ] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Two jobs with one key are one job.")] = None,
    correlation_id: Annotated[str | None, typer.Option(help="Echoed in logs and events.")] = None,
    deadline_seconds: Annotated[int | None, typer.Option(help="How long it may wait for an answer.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its event; exit 1 if it failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Enqueue one job and print its message id.

    Examples:

        coupontools-worker enqueue create_group --channel sms --name "Pizza lovers" --wait

        coupontools-worker enqueue add_contact --channel sms --group-id gro_119251 --phone +32470123456 --custom-field 1=gold

        coupontools-worker enqueue verify_webhook --payload body.json --wait
    """
    given: dict[str, Any] = {
        "channel": channel,
        "group_id": group_id,
        "phone": phone,
        "email": email,
        "first_name": first_name,
        "last_name": last_name,
        "custom_fields": _custom_fields(custom_field),
        "name": name,
        "payload": _payload(payload),
        "webhook_id": webhook_id,
        "idempotency_key": idempotency_key,
        "correlation_id": correlation_id,
        "deadline_seconds": deadline_seconds,
    }
    arguments = {option: value for option, value in given.items() if value is not None}
    try:
        JOBS[job.value].parse(arguments)
    except InvalidJob as error:
        for problem in error.problems:
            typer.echo(f"{_option(problem.field)}: {problem.message}", err=True)
        raise typer.Exit(2) from None

    settings = load_settings(require_credentials=False)
    message = job_message(job.value, arguments)
    with sync_client(settings.redis_url) as client:
        after = end_of_stream(client, settings.events_stream)
        enqueue_all(client, Keys.of(settings), [message])
        typer.echo(orjson.dumps({"message_id": message.message_id}) if as_json else message.message_id)
        if not wait:
            return
        answers = _await(client, settings.events_stream, after, message)
    if as_json:
        for event in answers:
            typer.echo(orjson.dumps(event))
    else:
        table = events_table()
        for event in answers:
            table.add_row(*event_row(event))
        Console().print(table)
    raise typer.Exit(1 if any(failed(event) for event in answers) else 0)


def _await(client: Any, stream: str, after: str, message: Enqueued) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []
    hint_at = time.monotonic() + 5
    for entry in follow(client, stream, after):
        if entry is None:
            if hint_at and time.monotonic() > hint_at:
                hint_at = 0
                typer.echo(
                    "no answer yet; is a worker running, or is work held? (coupontools-worker check)",
                    err=True,
                )
            continue
        if is_answer(entry, message.message_id, message.redis_message_id):
            answers.append(entry.event)
            if len(answers) >= answers[-1]["data"].get("pages", 1):
                break
    return answers


def _option(field: str) -> str:
    """The option that gives this argument."""
    name, _, number = field.partition(".")
    return f"--custom-field {number}".rstrip() if name == "custom_fields" else f"--{field.replace('_', '-')}"


def _custom_fields(given: list[str] | None) -> dict[str, str] | None:
    if not given:
        return None
    fields = {}
    for item in given:
        number, sign, text = item.partition("=")
        if not sign:
            raise typer.BadParameter(
                f"must be N=TEXT, e.g. 1=gold; got {item!r}", param_hint="--custom-field"
            )
        fields[number.strip()] = text
    return fields


def _payload(source: str | None) -> Any:
    if source is None:
        return None
    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return orjson.loads(raw)
    except OSError as error:
        raise typer.BadParameter(f"cannot be read: {error}", param_hint="--payload") from None
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"is not JSON: {error}", param_hint="--payload") from None
