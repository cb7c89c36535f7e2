"""A house: Redis, sandbox and workers, driven only through what other services may rely on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from sandbox import Sandbox
from tests.harness.commands import Done, run_command, run_process
from tests.harness.contract import check_events
from tests.harness.logged import Logged
from tests.harness.nursling import Nursery, Nursling
from tests.harness.piped import Piped
from tests.harness.waiting import PATIENCE, wait_for
from workers.embedded import EmbeddedRedis

QUEUES = {
    "add_contact": "contacts",
    "create_group": "groups",
    "verify_webhook": "webhooks",
    "list_groups": "reads",
    "list_contacts": "reads",
}
#: Part of every event of a worker. It begins at the slash, because Redis's own JSON writer puts a backslash before that.
FROM_A_WORKER = b'/coupontools-worker"'
#: Settings with short waits; a test may override each.
QUICK = {
    "COUPONTOOLS_RATE_LIMIT": "0",
    "COUPONTOOLS_CONNECT_TIMEOUT_SECONDS": "1",
    "COUPONTOOLS_TIMEOUT_SECONDS": "3",
    "RETRY_MIN_SECONDS": "0.05",
    "RETRY_MAX_SECONDS": "0.5",
    "READ_BACK_AFTER_SECONDS": "0.5",
    "WORKER_HEARTBEAT_SECONDS": "2",
    "WORKER_PROCESSES": "1",
    "SHUTDOWN_SECONDS": "5",
    "LOG_FORMAT": "json",
}


def message(actor: str, arguments: dict[str, Any], **fields: Any) -> tuple[str, str, dict[str, Any]]:
    """Return queue, Redis id and body of a message as any service writes it; ``fields`` replace fields of the body."""
    queue = QUEUES.get(actor, "contacts")
    redis_id = str(uuid.uuid4())
    body = {
        "queue_name": queue,
        "actor_name": actor,
        "args": [],
        "kwargs": arguments,
        "options": {"redis_message_id": redis_id},
        "message_id": str(uuid.uuid4()),
        "message_timestamp": int(time.time() * 1000),
        **fields,
    }
    return queue, redis_id, body


class RunningWorker(Logged):
    """`coupontools-worker run` as a process group of its own.

    The ``nursery`` starts it, if one is given; ``project`` is the folder of another copy of the project to run.
    """

    def __init__(
        self,
        environment: dict[str, str],
        *arguments: str,
        project: Path | None = None,
        nursery: Nursery | None = None,
    ) -> None:
        super().__init__("worker")
        # The temporary files that a killed worker leaves behind are deleted with this folder.
        self._folder = tempfile.TemporaryDirectory(prefix="worker-")
        environment = {**environment, "TMPDIR": self._folder.name}
        self.process: subprocess.Popen[bytes] | Nursling
        if nursery:
            self.process = nursery.start(["run", *arguments], environment, self._log)
            return
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "run", *arguments],
            env={**environment, **({"PYTHONPATH": str(project)} if project else {})},
            cwd=project,
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def children(self) -> list[int]:
        """Return the process ids of its worker processes."""
        try:
            text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(
                encoding="ascii"
            )
        except FileNotFoundError:
            return []
        return [int(pid) for pid in text.split()]

    def wait_started(self, processes: int = 1) -> Self:
        """Wait until this many worker processes take jobs."""
        wait_for(
            lambda: self.process.poll() is not None or len(self.log_lines("worker.started")) >= processes,
            seconds=60,
            what="the worker's start",
            show=lambda: self.log_text[-2000:],
        )
        assert self.process.poll() is None, self.log_text[-2000:]
        return self

    def signal_all(self, number: int) -> None:
        """Signal the whole process group."""
        os.killpg(self.process.pid, number)

    def terminate(self, seconds: float = 60) -> int:
        """Send SIGTERM to the supervisor; return the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=seconds * PATIENCE)

    def kill(self) -> None:
        """Kill all its processes at once."""
        with suppress(ProcessLookupError):
            self.signal_all(signal.SIGKILL)
        self.process.wait(timeout=120)

    def close(self) -> None:
        """Kill it, and delete its log and its folder."""
        self.kill()
        self.close_log()
        self._folder.cleanup()


class House:
    """Redis, sandbox and any number of workers."""

    def __init__(self, server: EmbeddedRedis, sandbox: Sandbox, nursery: Nursery | None = None) -> None:
        #: Starts the house's processes; None to start them as a user does.
        self.nursery = nursery
        self.server = server
        self.sandbox = sandbox
        self.redis = redis.Redis.from_url(server.url, socket_timeout=30)
        self.workers: list[RunningWorker] = []
        self._streams: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            if kind is not None:
                sys.stderr.write(worker.log_text[-6000:])
            worker.close()
        if kind is None:
            self._check_events()
        self.redis.close()

    def environment(self, **settings: object) -> dict[str, str]:
        """Return the environment of a worker or a command."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in {"PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR"}
        }
        config = self.sandbox.config
        given = {name: str(value) for name, value in settings.items()}
        self._streams.add(given.get("EVENTS_STREAM") or f"{given.get('KEY_PREFIX', 'coupontools')}:events")
        return {
            **kept,
            **QUICK,
            "REDIS_URL": self.server.url,
            "COUPONTOOLS_BASE_URL": self.sandbox.url,
            "COUPONTOOLS_CLIENT_ID": config.client_id,
            "COUPONTOOLS_CLIENT_SECRET": str(config.client_secret),
            **given,
        }

    def for_real(self) -> None:
        """Start each process from now on as a user does, by Python's command line, and not in the nursery."""
        self.nursery = None

    def worker(
        self, *arguments: str, wait: bool = True, project: Path | None = None, **settings: object
    ) -> RunningWorker:
        """Start `run` with these settings, from the copy of the project in ``project`` if given; the house stops it at its end."""
        environment = self.environment(**settings)
        # The metrics library reads the environment when it is loaded, and the nursery has another.
        forked = project is None and "METRICS_PORT" not in settings
        worker = RunningWorker(
            environment, *arguments, project=project, nursery=self.nursery if forked else None
        )
        self.workers.append(worker)
        return worker.wait_started(int(environment["WORKER_PROCESSES"])) if wait else worker

    def run(self, *arguments: str, stdin: str | None = None, **settings: object) -> Done:
        """Run a command to its end inside the test's own process."""
        return run_command(*arguments, environment=self.environment(**settings), stdin=stdin)

    def run_process(self, *arguments: str, stdin: str | None = None, **settings: object) -> Done:
        """Run a command to its end as a process of its own."""
        environment = self.environment(**settings)
        return run_process(*arguments, environment=environment, stdin=stdin, nursery=self.nursery)

    def start(self, *arguments: str, streams: dict[str, Any] | None = None, **settings: object) -> Piped:
        """Start a command as a process of its own, beside the test; ``streams`` sets its standard streams, as for `Piped`."""
        return Piped([*arguments], self.environment(**settings), nursery=self.nursery, **(streams or {}))

    def enqueue(self, actor: str, arguments: dict[str, Any] | None = None, /, **more: Any) -> str:
        """Enqueue a job with nothing but HSET and RPUSH; return the message id."""
        queue, redis_id, body = message(actor, {**(arguments or {}), **more})
        self.push(queue, redis_id, json.dumps(body))
        return str(body["message_id"])

    def push(self, queue: str, redis_id: str, body: str | bytes) -> None:
        """Put any entry on a queue."""
        with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(f"dramatiq:{queue}.msgs", redis_id, body)
            pipeline.rpush(f"dramatiq:{queue}", redis_id)
            pipeline.execute()

    def enqueue_many(self, actor: str, many: list[dict[str, Any]]) -> list[str]:
        """Enqueue many jobs in few round trips; return their message ids."""
        ids = []
        with self.redis.pipeline(transaction=False) as pipeline:
            for arguments in many:
                queue, redis_id, body = message(actor, arguments)
                pipeline.hset(f"dramatiq:{queue}.msgs", redis_id, json.dumps(body))
                pipeline.rpush(f"dramatiq:{queue}", redis_id)
                ids.append(str(body["message_id"]))
            pipeline.execute()
        return ids

    def events(self) -> list[dict[str, Any]]:
        """Return every event on the stream, oldest first."""
        entries: Any = self.redis.xrange("coupontools:events")
        return [json.loads(fields[b"event"]) for _, fields in entries]

    def _check_events(self) -> None:
        try:
            check_events(self.emitted())
        except redis.RedisError as error:
            # A test may have stopped Redis, or taken this client's rights.
            sys.stderr.write(f"the events were not looked at: {error!r}\n")

    def emitted(self) -> Iterator[bytes]:
        """Yield every event that a worker wrote to any stream of this house; events made up by a test have another source."""
        if self.server.process is None or self.server.process.poll() is not None:
            return
        for stream in self._streams:
            # A test may have put another type of value there.
            if self.redis.type(stream) == b"stream":
                entries: Any = self.redis.xrange(stream)
                yield from (
                    fields[b"event"] for _, fields in entries if FROM_A_WORKER in fields.get(b"event", b"")
                )

    def answers(self, message_id: str) -> list[dict[str, Any]]:
        """Return the events that answer a message."""
        return [event for event in self.events() if event["id"].split("/")[0] == message_id]

    def answer(self, message_id: str, seconds: float = 30.0) -> dict[str, Any]:
        """Wait for the event that answers a message, and return it."""
        wait_for(
            lambda: self.answers(message_id),
            seconds=seconds,
            what=f"the answer to {message_id}",
            show=self.log_tail,
        )
        return self.answers(message_id)[0]

    def wait_answered(self, message_ids: list[str], seconds: float = 60.0) -> dict[str, list[dict[str, Any]]]:
        """Wait until each message has an answer; return all answers by message id."""
        wanted = set(message_ids)

        def all_there() -> bool:
            if self.redis.xlen("coupontools:events") < len(wanted):
                return False
            return wanted <= {event["id"].split("/")[0] for event in self.events()}

        wait_for(
            all_there,
            seconds=seconds,
            what=f"{len(wanted)} answers",
            show=lambda: f"{self.tally()} {self.log_tail()}",
        )
        answers: dict[str, list[dict[str, Any]]] = {message_id: [] for message_id in wanted}
        for event in self.events():
            if (message_id := event["id"].split("/")[0]) in answers:
                answers[message_id].append(event)
        return answers

    def tally(self) -> Counter[str]:
        """Return how many events of each type there are."""
        return Counter(event["type"].removeprefix("coupontools.") for event in self.events())

    def log_tail(self) -> str:
        """Return the end of every worker's log."""
        return "\n".join(worker.log_text[-3000:] for worker in self.workers)

    def counts(self) -> dict[str, Any]:
        """Return the sandbox's counts, among them doubles."""
        counts: dict[str, Any] = self.sandbox.state()["counts"]
        return counts

    def new_group(self, channel: str = "sms", name: str = "Pizza", **fields: Any) -> str:
        """Seed a group in the sandbox; return its id."""
        answer = self.sandbox.add_groups(channel, name=name, **fields)
        return str(answer["group_id"] if "group_id" in answer else answer["groups"][0]["group_id"])
