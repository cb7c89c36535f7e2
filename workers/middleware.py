"""Where the event loop and the caretaker begin and end with Dramatiq's worker."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import structlog
from dramatiq.middleware import Middleware

from config import Settings
from workers.broker import Caretaker
from workers.loop import JobLoop

__all__ = ["WorkerLife"]

log = structlog.get_logger("workers")


class WorkerLife(Middleware):
    """Starts the loop before the worker's threads do, and drains it before they stop."""

    def __init__(self, settings: Settings, loop: JobLoop) -> None:
        self._settings = settings
        self._loop = loop
        self._caretaker: Caretaker | None = None
        self._started = time.monotonic()

    def before_worker_boot(self, broker: Any, worker: Any) -> None:
        """The loop first: a message may be there at once."""
        queues = sorted(worker.consumer_whitelist or broker.get_declared_queues())
        self._loop.start()
        self._caretaker = Caretaker(
            broker, heartbeat_seconds=self._settings.worker_heartbeat_seconds, queues=queues
        )
        self._caretaker.start()
        broker.threads += [self._loop.thread, self._caretaker]
        broker.loop_turns, broker.where_loop_is = self._loop.turns, self._loop.where
        broker.is_benched = self._loop.is_benched
        log.info(
            "worker.started",
            worker=broker.broker_id,
            queues=queues,
            version=version("coupontools-worker"),
            base_url=self._settings.coupontools_base_url,
        )

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:  # noqa: ARG002
        """Take nothing new and let what runs end; the heartbeat goes on until all is handed back."""
        log.info("worker.stopping", worker=broker.broker_id)
        broker.draining.set()
        self._loop.drain(self._settings.shutdown_seconds)

    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:  # noqa: ARG002
        """The consumers have handed back what was left."""
        self._loop.stop()
        if self._caretaker:
            self._caretaker.stop()
        log.info("worker.stopped", worker=broker.broker_id, uptime_s=round(time.monotonic() - self._started))
