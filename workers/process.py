"""One worker process: Dramatiq's Worker around the event loop, until told to stop or its supervisor is gone.

Started by the supervisor as ``python -m workers.process``; its standard input is a pipe that ends when the supervisor does.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading

import structlog
from dramatiq import Worker

from config import SettingsError, load_settings, setup_logging
from workers.assembly import assemble
from workers.broker import DurableBroker

__all__ = ["dead_threads", "main"]

log = structlog.get_logger("workers")

#: How often it is looked whether all threads live.
LOOK_SECONDS = 1.0
#: Dramatiq's threads only hand coroutines to the loop.
HANDING_THREADS = 1


def main(argv: list[str] | None = None) -> int:
    """Runs the worker. Answers the exit code."""
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

    stop = threading.Event()
    # Told once or ten times, by the supervisor or with the whole process group: it drains, and does so once.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_watch_supervisor, args=(stop,), name="supervisor-watch", daemon=True).start()

    broker = assemble(settings, concurrency=options.concurrency)
    worker = Worker(
        broker, queues=set(filter(None, options.queues.split(","))) or None, worker_threads=HANDING_THREADS
    )
    worker.start()
    while not stop.wait(LOOK_SECONDS):
        if died := dead_threads(worker, broker):
            # Without one of them it would live on and do nothing. What it held is taken over; waiting for a dead loop has no end.
            log.critical("worker.thread_died", threads=died)
            os._exit(1)
    worker.stop()
    broker.close()
    return 0


def dead_threads(worker: Worker, broker: DurableBroker) -> list[str]:
    """The threads that a worker needs and that have ended."""
    needed = [*worker.consumers.values(), *worker.workers, *broker.threads]
    return [thread.name for thread in needed if not thread.is_alive()]


def _watch_supervisor(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 64):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
