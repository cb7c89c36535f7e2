"""`enqueue`: enqueues one job, or the jobs of a file, and waits for their events if asked to."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any

import redis
import typer
from rich.console import Console

from actors import JOBS, InvalidJob
from config import Settings
from config.keys import Keys
from config.names import QUEUES
from workers.cli.command import check_known
from workers.cli.job_lines import messages_of
from workers.cli.job_options import job_options
from workers.cli.output import say, say_json
from workers.cli.settings import check_pair, command_settings
from workers.cli.show import failed, print_event
from workers.cli.wait import NoAnswer, Wait, tell_of_redis
from workers.producer import Enqueued, enqueue_all, job_message
from workers.redis_link import Patience, sync_client, trouble_of
from workers.stream import end_of_stream

__all__ = ["enqueue"]


_OPTIONS = job_options(JOBS)
#: A year; somebody who asks for a longer delay has mistaken the unit.
LONGEST_DELAY_SECONDS = 31_536_000.0
#: Jobs of a file that are enqueued in one step.
AT_ONCE = 500
#: How long the command waits for Redis if that goes away meanwhile, in seconds.
LONGEST_OUTAGE_SECONDS = 300.0
TIMED_OUT = 3


def enqueue(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help=f"One of {', '.join(JOBS)}.")] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE or -",
            help="Enqueue the jobs of a file: one JSON object a line, with `job` and its arguments.",
        ),
    ] = None,
    queue: Annotated[
        str | None,
        typer.Option(metavar="QUEUE", help="Put add_contact on `bulk`, as for imports and other masses."),
    ] = None,
    delay: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            max=LONGEST_DELAY_SECONDS,
            help="Carry the job out this much later.",
            show_default=False,
        ),
    ] = 0,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the event; exit 1 if the job failed, 3 if no event came.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="How long --wait waits at most; by default until the job's deadline.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    **given: Any,
) -> None:
    """Enqueue one job, or the jobs of a file, and print their message ids. Wrong lines of the file are reported and left out.

    Exit code 1 if a line was wrong or a job failed, 2 if an argument is wrong, 3 if the waiting timed out.

    Examples:

        coupontools-worker enqueue create_group --channel sms --name "Pizza lovers" --wait

        coupontools-worker enqueue add_contact --channel sms --group-id gro_119251 --phone +32470123456 --custom-field 1=gold

        coupontools-worker enqueue verify_webhook --payload body.json --wait --timeout 30

        echo '{"job": "list_groups", "channel": "sms"}' | coupontools-worker enqueue --file - --wait
    """
    arguments = {name: _OPTIONS[name].value(value) for name, value in given.items() if value is not None}
    if timeout is not None and not wait:
        raise typer.BadParameter("needs --wait", param_hint="--timeout")
    run = _Run(command_settings(), as_json=as_json)
    deadline = arguments.get("deadline_seconds", run.settings.job_deadline_seconds) + delay
    seconds = (deadline if timeout is None else timeout) if wait else None
    if file is None:
        run.enqueue([_one(job, arguments, queue, delay)], told=wait, seconds=seconds)
    else:
        if job is not None or arguments:
            raise typer.BadParameter(
                "excludes a job and its arguments: each line names its own", param_hint="--file"
            )
        check_known("queue", queue, QUEUES, "--queue")
        with _lines(file) as lines:
            run.enqueue(messages_of(lines, run.refused, queue=queue, delay=delay), told=True, seconds=seconds)
    raise typer.Exit(run.exit_code)


def _one(job: str | None, arguments: dict[str, Any], queue: str | None, delay: float) -> Enqueued:
    """Return the message of a job; end the command if an option is wrong."""
    if job is None:
        raise typer.BadParameter(f"must be one of {', '.join(JOBS)}; or give --file", param_hint="JOB")
    check_known("job", job, JOBS, "JOB")
    queues = (JOBS[job].queue, *JOBS[job].also)
    if queue is not None and queue not in queues:
        raise typer.BadParameter(f"{job} may be put on {' or '.join(queues)}", param_hint="--queue")
    try:
        JOBS[job].parse(arguments)
    except InvalidJob as error:
        for problem in error.problems:
            name, _, key = problem.field.partition(".")
            say(f"{_OPTIONS[name].flag} {key}".rstrip() + f": {_as_typed(problem.message)}", err=True)
        raise typer.Exit(2) from None
    return job_message(job, arguments, queue, delay=delay)


def _as_typed(message: str) -> str:
    """Return what is wrong with an argument, with all arguments named as options."""
    text, known, names = message.partition("known are ")
    for name, option in _OPTIONS.items():
        if "_" in name:
            text = re.sub(rf"\b{name}\b", option.flag, text)
    return text + known + ", ".join(_OPTIONS[name].flag for name in names.split(", ") if name in _OPTIONS)


def _lines(file: str) -> AbstractContextManager[IO[bytes]]:
    if file == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise typer.BadParameter(f"cannot be read: {error.strerror}", param_hint="--file") from None


class _Run:
    """One run of the command: it enqueues jobs, waits for their answers, and keeps the exit code."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self.settings = settings
        self.exit_code = 0
        self._as_json = as_json

    def refused(self, line: int, why: str) -> None:
        """Report a line that is no job; the other lines go on."""
        self.exit_code = 1
        say(f"line {line}: {why}", err=True)

    def enqueue(self, messages: Iterable[Enqueued], *, told: bool, seconds: float | None) -> None:
        """Enqueue messages and print their ids; then wait ``seconds`` for their answers, unless that is None.

        If Redis goes away meanwhile, wait for it if ``told``, else fail at once.
        """
        coming, ids = iter(messages), []
        with sync_client(self.settings.redis_url) as client:
            check_pair(client, self.settings)
            after = end_of_stream(client, self.settings.events_stream)
            while some := list(islice(coming, AT_ONCE)):
                self._put(client, some, LONGEST_OUTAGE_SECONDS if told else 0, seconds)
                for message in some:
                    ids.append(message.message_id)
                    if self._as_json:
                        say_json({"message_id": message.message_id})
                    else:
                        say(message.message_id)
            if seconds is not None:
                self._wait(Wait(client, self.settings, ids, seconds), after)

    def _put(self, client: redis.Redis, some: list[Enqueued], longest: float, seconds: float | None) -> None:
        """Enqueue messages. If Redis is away, wait for it as long as for the answers, and no longer than ``longest``."""
        bound = longest if seconds is None else min(longest, seconds)
        patience = Patience(tell_of_redis, lambda away: away >= bound)
        try:
            patience.ask(lambda: enqueue_all(client, Keys.of(self.settings), some))
        except redis.RedisError as error:
            if seconds is None or bound < seconds or not patience.is_away:
                raise
            say(f"Redis did not confirm the job within {seconds:g} s: {trouble_of(error)}", err=True)
            raise typer.Exit(TIMED_OUT) from None

    def _wait(self, wait: Wait, after: str) -> None:
        console = Console()
        try:
            for event in wait.answers(after):
                if self._as_json:
                    say_json(event)
                else:
                    print_event(console, event)
                if failed(event):
                    self.exit_code = 1
        except NoAnswer as error:
            say(str(error), err=True)
            self.exit_code = TIMED_OUT


def _signature() -> inspect.Signature:
    """Return the command's parameters as Typer reads them, with one for each argument of a job instead of ``given``."""
    job, *others = inspect.signature(enqueue, eval_str=True).parameters.values()
    options = [option.parameter for option in _OPTIONS.values()]
    return inspect.Signature([job, *options, *others[:-1]])


# inspect.signature, and so Typer, reads this attribute: https://peps.python.org/pep-0362/#signature-object
enqueue.__signature__ = _signature()  # type: ignore[attr-defined]
