"""`enqueue`: enqueues one job, and waits for its event if asked to."""

from __future__ import annotations

import inspect
import time
from typing import Annotated, Any

import typer
from rich.console import Console

from actors import JOBS, InvalidJob
from config.keys import Keys
from workers.cli.job_options import job_options
from workers.cli.output import say, say_json
from workers.cli.settings import command_settings
from workers.cli.show import event_row, events_table, failed
from workers.producer import Enqueued, enqueue_all, job_message
from workers.redis_link import sync_client
from workers.stream import end_of_stream, follow, is_answer

__all__ = ["enqueue"]


_OPTIONS = job_options(JOBS)


def enqueue(
    job: Annotated[str, typer.Argument(metavar="JOB", help=f"One of {', '.join(JOBS)}.")],
    *,
    queue: Annotated[
        str | None, typer.Option(metavar="QUEUE", help="bulk: add_contact for imports and other masses.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its event; exit 1 if it failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    **given: Any,
) -> None:
    """Enqueue one job and print its message id.

    Examples:

        coupontools-worker enqueue create_group --channel sms --name "Pizza lovers" --wait

        coupontools-worker enqueue add_contact --channel sms --group-id gro_119251 --phone +32470123456 --custom-field 1=gold

        coupontools-worker enqueue verify_webhook --payload body.json --wait
    """
    if job not in JOBS:
        raise typer.BadParameter(f"there is no job {job!r}; known are {', '.join(JOBS)}", param_hint="JOB")
    queues = (JOBS[job].queue, *JOBS[job].also)
    if queue is not None and queue not in queues:
        raise typer.BadParameter(f"{job} may be put on {' or '.join(queues)}", param_hint="--queue")
    arguments = {name: _OPTIONS[name].value(value) for name, value in given.items() if value is not None}
    try:
        JOBS[job].parse(arguments)
    except InvalidJob as error:
        for problem in error.problems:
            name, _, key = problem.field.partition(".")
            say(f"{_OPTIONS[name].flag} {key}".rstrip() + f": {problem.message}", err=True)
        raise typer.Exit(2) from None

    settings = command_settings()
    message = job_message(job, arguments, queue)
    with sync_client(settings.redis_url) as client:
        after = end_of_stream(client, settings.events_stream)
        enqueue_all(client, Keys.of(settings), [message])
        if as_json:
            say_json({"message_id": message.message_id})
        else:
            say(message.message_id)
        if not wait:
            return
        answers = _await(client, settings.events_stream, after, message)
    if as_json:
        for event in answers:
            say_json(event)
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
                say(
                    "no answer yet; is a worker running, or is work held? (coupontools-worker check)",
                    err=True,
                )
            continue
        if is_answer(entry, message.message_id):
            answers.append(entry.event)
            if len(answers) >= answers[-1]["data"].get("pages", 1):
                break
    return answers


def _signature() -> inspect.Signature:
    """Return the command's parameters as Typer reads them, with one for each argument of a job instead of ``given``."""
    job, *others = inspect.signature(enqueue, eval_str=True).parameters.values()
    options = [option.parameter for option in _OPTIONS.values()]
    return inspect.Signature([job, *options, *others[:-1]])


# What inspect.signature, and so Typer, sees of it: https://peps.python.org/pep-0362/#signature-object
enqueue.__signature__ = _signature()  # type: ignore[attr-defined]
