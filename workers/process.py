"""One worker process: Dramatiq's Worker around the event loop, until told to stop or its supervisor is gone.

Started by the supervisor as ``python -m workers.process``; its standard input is a pipe that ends when the supervisor does.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import structlog
from dramatiq import Worker

from config import Settings, SettingsError, load_settings, setup_logging
from config.few_settings import few_of
from config.log_line import name_worker
from workers.assembly import assemble
from workers.beats import Beat, beats_folder
from workers.broker import DurableBroker
from workers.signals import Stop

__all__ = ["dead_threads", "main", "watch"]

log = structlog.get_logger("workers")

#: How often `watch` looks whether all threads live.
LOOK_SECONDS = 1.0
#: After so many looks without a turn of the event loop, the process ends itself and is replaced.
LOOKS_AT_A_STUCK_LOOP = 60
#: How long a broken process may take to write its last line, in seconds.
LAST_WORDS_SECONDS = 5.0
#: How long a process that was told to stop may take beyond SHUTDOWN_SECONDS, as the supervisor has it, in seconds.
STOPPING_SECONDS = 20.0
#: One of Dramatiq's threads is enough: it only hands coroutines to the loop.
HANDING_THREADS = 1


def main(argv: list[str] | None = None) -> int:
    """Run the worker until told to stop. Return the exit code."""
    parser = argparse.ArgumentParser(prog="workers.process")
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--queues", default="")
    options = parser.parse_args(argv)
    try:
        settings = load_settings()
    except SettingsError as error:
        for line in error.lines:
            sys.stderr.write(f"{line}\n")
        return 2
    setup_logging(settings.log_format, settings.log_level)

    stop = Stop()
    stop.listen()
    threading.Thread(target=_watch_supervisor, args=(stop,), name="supervisor-watch", daemon=True).start()

    broker = assemble(settings, concurrency=options.concurrency)
    name_worker(broker.broker_id)
    worker = Worker(
        broker, queues=set(filter(None, options.queues.split(","))) or None, worker_threads=HANDING_THREADS
    )
    worker.start()
    pulse = Pulse(settings)
    watch(worker, broker, stop, turned=pulse.beat)
    # From here on it only ends its jobs and hands back the rest, which nobody watches but the supervisor.
    pulse.beat(settings.shutdown_seconds + STOPPING_SECONDS)
    worker.stop()
    broker.close()
    pulse.end()
    return 0


class Pulse:
    """Beats for `check --live`. A folder that cannot be written stops no work; it is told once."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = settings.worker_heartbeat_seconds
        self._settings = settings
        self._beat: Beat | None = None
        self._told = False
        self.beat()

    def beat(self, more: float = 0) -> None:
        """Tell that the loop turned, and that it may be silent for so many seconds more than at other times."""
        try:
            self._beat = self._beat or Beat(beats_folder(**few_of(self._settings)))
            self._beat.beat(self._allowed + more)
        except OSError as error:
            if not self._told:
                log.warning("beat.not_written", error=str(error), setting="STATE_DIR")
            self._told = True

    def end(self) -> None:
        """Take the file away."""
        with suppress(OSError):
            if self._beat:
                self._beat.end()


def watch(
    worker: Worker, broker: DurableBroker, stop: Stop, *, turned: Callable[[], None] = lambda: None
) -> None:
    """Return when told to stop. End the process when a thread of it has died or its loop is stuck.

    `turned` is called at each look that finds that the loop has turned.
    """
    looks_in_vain = 0
    while not stop.wait(LOOK_SECONDS):
        if died := dead_threads(worker, broker):
            # Without one of them the process would live on and do nothing. It ends at once, since waiting for a dead loop has no end;
            # another worker takes over its jobs.
            _end_at_once("worker.thread_died", threads=died)
        # Counted in looks, not in seconds: while a machine sleeps, seconds pass and nobody looks.
        looks_in_vain = 0 if broker.loop_turns() else looks_in_vain + 1
        if not looks_in_vain:
            turned()
        if looks_in_vain >= LOOKS_AT_A_STUCK_LOOP:
            # The heartbeat has a thread of its own and goes on, so nobody would take over the jobs of this process.
            _end_at_once(
                "worker.loop_stuck", seconds=looks_in_vain * LOOK_SECONDS, where=broker.where_loop_is()
            )


def _end_at_once(event: str, **fields: Any) -> NoReturn:
    # Arm the exit first: the broken thread may hold the log's lock.
    exit_armed = threading.Timer(LAST_WORDS_SECONDS, os._exit, (1,))
    exit_armed.daemon = True
    exit_armed.start()
    log.critical(event, **fields)
    os._exit(1)


def dead_threads(worker: Worker, broker: DurableBroker) -> list[str]:
    """Return the names of the threads that a worker needs and that have ended."""
    needed = [*worker.consumers.values(), *worker.workers, *broker.threads]
    return [thread.name for thread in needed if not thread.is_alive()]


def _watch_supervisor(stop: Stop) -> None:
    while os.read(sys.stdin.fileno(), 64):
        pass
    stop.tell()


if __name__ == "__main__":
    sys.exit(main())
