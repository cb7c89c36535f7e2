"""`demo`: every part at work on this machine, and proof that the worker keeps what it promises."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import redis
import typer

from actors import JOBS
from config import Settings
from config.keys import Keys
from sandbox import Sandbox
from workers.broker import DeadLetters
from workers.cli.demo_story import Step, stages
from workers.cli.output import say, say_json
from workers.cli.show import short_type, shown
from workers.embedded import EmbeddedRedis, NoRedisServer, die_with_parent
from workers.producer import enqueue_all
from workers.redis_link import sync_client
from workers.stream import Event, answered_ids, follow

__all__ = ["demo"]

#: The longest that a stage may take, in seconds; on an idle machine it takes one or two.
STAGE_SECONDS = 60.0
#: How long the worker may take to stop, in seconds.
STOP_SECONDS = 30.0
KEYS = Keys()
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ROW = "{:<29}  {:<16}  {:>7}  {}"
PROVEN = """
✓ {events} entries were enqueued and {events} events answer them, each exactly as it must be; none is left in a queue.
✓ The API holds {groups at the API} groups and {contacts at the API} contacts: nothing lost, nothing doubled.
✓ One contact's answer was lost on the way back. The worker asked whether it had been added instead of adding it again.
✓ The job enqueued twice was carried out once; the second was answered from the record.
✓ The forged webhook differs from what Coupontools has on record, and the event says in which field.
✓ The wrong job and half a message became dead letters, and held up no other job.
"""


class DemoError(RuntimeError):
    """The demo cannot go on, or something is not as it must be; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the demo runs on."""

    redis_url: str
    client: redis.Redis
    sandbox: Sandbox
    worker: subprocess.Popen[bytes]
    log: Path

    def failure(self, *problems: str) -> DemoError:
        """Return an error of these problems and the end of the worker's log."""
        log = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]
        return DemoError("\n".join([*problems, "the end of the worker's log:", *log]))


def demo(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each event and a summary as JSON lines.")
    ] = False,
) -> None:
    """Show everything at work on this machine, in a few seconds and without an account.

    Starts a private Redis, the stand-in of the Coupontools API and a worker; enqueues each job, a wrong one, a repeated one, a forged
    webhook, half a message, and a contact whose answer gets lost; shows each answer; stops everything. Exit 0 only if every event is
    exactly as it must be.

    Examples:

        coupontools-worker demo

        coupontools-worker demo --json | jq .type
    """
    for number in SIGNALS:
        signal.signal(number, _stop)
    width = min(shutil.get_terminal_size().columns, 140) if sys.stdout.isatty() else 120

    def tell(text: str) -> None:
        if not as_json:
            say(text, keep="\n")

    def show(step: Step, event: Event, after_ms: int) -> None:
        if as_json:
            say_json(event.raw)
        row = ROW.format(step.title, short_type(event.event), f"{after_ms} ms", _gist(event.event))
        tell("\n".join(textwrap.wrap(row, width, subsequent_indent=ROW.format("", "", "", ""))))

    began = time.monotonic()
    tell("Starting a private Redis, the stand-in of the Coupontools API and a worker ...")
    try:
        with running_parts() as parts:
            tell(f"Redis at {parts.redis_url}, API at {parts.sandbox.url}.\n")
            tell(f"{ROW.format('job', 'event', 'after', 'what it says')}\n{'─' * width}")
            counts = play(parts, show)
    except (RuntimeError, NoRedisServer, redis.RedisError, subprocess.TimeoutExpired) as error:
        say(f"demo: {error}", err=True, keep="\n")
        raise typer.Exit(1) from None
    if as_json:
        say_json({"summary": {"ok": True, "counts": counts}})
    tell(f"{'─' * width}{PROVEN.format(**counts)}")
    tell(f"All as expected. Everything is stopped again after {time.monotonic() - began:.1f} s.")


def _stop(number: int, _: FrameType | None) -> None:
    """End the demo, and with it its parts. Ignore further signals, so that they cannot interrupt the stopping."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _gist(event: dict[str, Any]) -> str:
    """Return the part of an event that matters to somebody who sees such an event for the first time."""
    match event["data"]:
        case {"webhook_id": webhook_id, "checked": checked}:
            return f"{webhook_id}: {', '.join(checked)} agree"
        case {"mismatches": [{"field": name, "received": received, "expected": expected}]}:
            return f"{name} is {received}, on record {expected}"
        case {"raw": _, "reason": reason}:
            return str(reason)
        case data:
            return shown({**event, "data": {name: data[name] for name in data if name != "channel"}})


@contextmanager
def running_parts() -> Iterator[Parts]:
    """Start the parts, and stop them at the end, the worker first.

    Raises:
        NoRedisServer: there is none on this machine.
        RuntimeError: Redis or the stand-in did not start.
        subprocess.TimeoutExpired: the worker did not stop.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coupontools-demo-")))
        redis_url = stack.enter_context(EmbeddedRedis()).url
        sandbox = stack.enter_context(Sandbox())
        client = stack.enter_context(sync_client(redis_url))
        log = folder / "worker.log"
        with log.open("wb") as output:
            worker = subprocess.Popen(
                [sys.executable, "-m", "workers.cli", "run", "--processes", "1"],
                cwd=folder,
                env=_environment(redis_url, sandbox, folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A terminal sends Ctrl-C to all of its process group, but the demo stops the worker itself.
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock taken
            )
        stack.callback(worker.wait, STOP_SECONDS)
        stack.callback(worker.terminate)
        yield Parts(redis_url, client, sandbox, worker, log)


def _environment(redis_url: str, sandbox: Sandbox, folder: Path) -> dict[str, str]:
    """Return the worker's environment: the demo's settings and none of the user's, which may be in any letter case."""
    users_own = {*Settings.model_fields, "secrets_dir"}
    return {
        **{name: value for name, value in os.environ.items() if name.lower() not in users_own},
        "PYTHONPATH": os.pathsep.join(sys.path),
        "REDIS_URL": redis_url,
        "STATE_DIR": str(folder),
        "COUPONTOOLS_BASE_URL": sandbox.url,
        "COUPONTOOLS_CLIENT_ID": sandbox.config.client_id,
        "COUPONTOOLS_CLIENT_SECRET": str(sandbox.config.client_secret),
        "COUPONTOOLS_RATE_LIMIT": "0",
        "READ_BACK_AFTER_SECONDS": "1",
        "RETRY_MIN_SECONDS": "0.1",
        "SHUTDOWN_SECONDS": "3",
    }


def play(parts: Parts, show: Callable[[Step, Event, int], None]) -> dict[str, int]:
    """Play the story, and return what was counted at its end. ``show`` gets each event, and after how many milliseconds it came.

    Raises:
        DemoError: an event or a count is not as it must be, the worker ended, or it did not answer in time.
    """
    events = follow(parts.client, KEYS.events, "0-0", block_ms=200)
    enqueued = 0
    for stage in stages(parts.sandbox):
        began = time.monotonic()
        enqueued += enqueue_all(parts.client, KEYS, [step.entry for step in stage])
        while waiting := [step for step in stage if not step.event]:
            event = next(events)
            if parts.worker.poll() is not None:
                raise parts.failure(f"the worker ended with exit code {parts.worker.returncode}")
            if time.monotonic() - began > STAGE_SECONDS:
                titles = ", ".join(step.title for step in waiting)
                raise parts.failure(f"no answer in {STAGE_SECONDS:g} s to: {titles}")
            if event is None:
                continue
            answered = [step for step in waiting if step.entry.message_id in answered_ids(event.event)]
            if not answered:
                raise parts.failure(f"an event that nobody expected: {event.raw.decode()}")
            answered[0].event = event.event
            show(answered[0], event, round((time.monotonic() - began) * 1000))
        if differences := [difference for step in stage for difference in step.differences]:
            raise parts.failure(*differences)
    return _counts(parts, enqueued)


def _counts(parts: Parts, enqueued: int) -> dict[str, int]:
    """Count at the API and in Redis: nothing may be lost, doubled or left."""
    held = parts.sandbox.state()["counts"]
    queues = sorted({job.queue for job in JOBS.values()})
    counts = {
        "events": int(parts.client.xlen(KEYS.events)),
        "left in queues": sum(int(parts.client.hlen(KEYS.queue(queue).bodies)) for queue in queues),
        "dead letters": DeadLetters(parts.client, KEYS, queues).count(),
        "groups at the API": held["groups"],
        "contacts at the API": held["contacts"],
        "doubled at the API": held["surplus_groups"] + held["surplus_contacts"],
    }
    for (name, count), wanted in zip(counts.items(), (enqueued, 0, 2, 2, 3, 0), strict=True):
        if count != wanted:
            raise parts.failure(f"{name}: {count}, not {wanted}")
    return counts
