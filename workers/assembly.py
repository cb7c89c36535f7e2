"""Puts broker, loop and actors together: one of each per process."""

from __future__ import annotations

from actors.actor import declare_actors
from config import Settings
from delivery import Observer
from workers.broker import DurableBroker
from workers.loop import JobLoop
from workers.metrics.attempts import attempt_metrics
from workers.middleware import WorkerLife
from workers.tracing import tracing_if_installed

__all__ = ["assemble"]


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
