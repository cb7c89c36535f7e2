"""Puts broker, loop and actors together, one of each per process, and starts and stops the parts with Dramatiq's worker."""

from __future__ import annotations

import os
import time
from importlib.metadata import version
from typing import Any

import structlog
from dramatiq.middleware import Middleware

from actors.actor import declare_actors
from config import Settings
from delivery import Observer
from workers.broker import Caretaker, DurableBroker, Enrolment, Memory, Refused
from workers.loop import JobLoop
from workers.metrics.attempts import attempt_metrics
from workers.redis_link import is_outage
from workers.redis_state import why_it_may_forget
from workers.supervisor import REFUSED
from workers.tracing import tracing_if_installed

__all__ = ["assemble"]

log = structlog.get_logger("workers")

#: The enrolment's name at the link.
WHO = "enrolment"


def assemble(settings: Settings, *, concurrency: int) -> DurableBroker:
    """Return a broker with all actors, ready for Dramatiq's Worker."""
    broker = DurableBroker(settings, concurrency=concurrency)
    metrics = attempt_metrics()
    observers: list[Observer] = [each for each in (tracing_if_installed(), metrics) if each is not None]
    loop = JobLoop(broker, concurrency=concurrency, observers=observers)
    broker.add_middleware(WorkerLife(loop))
    if metrics is not None:
        broker.add_middleware(metrics)
        broker.on_set_aside = metrics.entry_rejected
    declare_actors(broker, loop.entrance, loop.submit)
    return broker


class WorkerLife(Middleware):
    """Starts the loop before the worker's threads do, and drains it before they stop."""

    def __init__(self, loop: JobLoop) -> None:
        self._loop = loop
        self._caretaker: Caretaker | None = None
        self._started = time.monotonic()

    def before_worker_boot(self, broker: Any, worker: Any) -> None:
        """Enrol, and start the loop before any message is fetched: one may be there at once.

        Dramatiq logs and swallows what a middleware raises. Its worker would then fetch jobs that nothing carries out, so a start that
        fails ends the process.
        """
        try:
            self._start(broker, worker)
        except Exception as error:
            log.critical("worker.not_started", error=f"{type(error).__name__}: {error}", exc_info=error)
            raise SystemExit(1) from None

    def _start(self, broker: Any, worker: Any) -> None:
        queues = sorted(worker.consumer_whitelist or broker.get_declared_queues())
        self._caretaker = Caretaker(
            broker, heartbeat_seconds=broker.settings.worker_heartbeat_seconds, queues=queues
        )
        self._enrol(broker, Enrolment(broker))
        self._loop.start()
        self._caretaker.start()
        broker.parts += [self._loop.thread, self._loop.runner, self._caretaker]
        broker.loop_turns, broker.where_loop_is = self._loop.turns, self._loop.where
        log.info(
            "worker.started",
            worker=broker.broker_id,
            pid=os.getpid(),
            queues=queues,
            version=version("coupontools-worker"),
            base_url=broker.settings.coupontools_base_url,
        )

    def _enrol(self, broker: Any, enrolment: Enrolment) -> None:
        """Wait until Redis says that this worker may take jobs, and let each heartbeat ask again."""
        while True:
            began = time.monotonic()
            try:
                enrolment.begin()
                problems, warnings = why_it_may_forget(broker.client)
            except Refused as refused:
                log.critical("worker.refused", reason=str(refused))
                raise SystemExit(REFUSED) from None
            except Exception as error:
                if not is_outage(error):
                    raise
                if broker.pause(broker.link.lost(WHO, error, began)):
                    raise SystemExit(0) from None
            else:
                broker.link.answered(WHO)
                break

        for problem in problems + warnings:
            log.warning("redis.may_forget", problem=problem)
        memory = Memory(broker, broker.settings.worker_heartbeat_seconds)

        def look_again() -> None:
            memory.look()
            try:
                enrolment.renew()
            except Refused as refused:
                broker.refused = str(refused)

        broker.on_beat = look_again

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:  # noqa: ARG002
        """Take nothing new and let running jobs end; the heartbeat goes on until all messages are handed back."""
        log.info("worker.stopping", worker=broker.broker_id)
        broker.draining.set()
        self._loop.drain(broker.settings.shutdown_seconds)

    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:  # noqa: ARG002
        """Stop the loop and the caretaker: by now, the consumers have handed back the messages that were left."""
        broker.loop_closed = self._loop.stop()
        if self._caretaker:
            self._caretaker.stop()
        log.info("worker.stopped", worker=broker.broker_id, uptime_s=round(time.monotonic() - self._started))
