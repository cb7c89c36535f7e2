"""The state of Redis as metrics, read when Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis

from config import Settings
from config.names import HOLD_KINDS, SCOPES
from workers.metrics.names import STATE
from workers.redis_link import sync_client
from workers.state import read_state

__all__ = ["StateCollector"]


class StateCollector:
    """Collects for a registry of prometheus_client, at the same cost however many jobs wait."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = sync_client(settings.redis_url)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def collect(self) -> Iterator[Any]:
        """Yield every gauge, or ``coupontools_redis_up`` alone when Redis does not answer."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - only where the extra is installed

        try:
            values = self._read()
        except redis.RedisError:
            values = {"coupontools_redis_up": {(): 0.0}}
        for name, rows in values.items():
            kind = CounterMetricFamily if STATE[name].kind == "counter" else GaugeMetricFamily
            family = kind(name, STATE[name].help, labels=STATE[name].labels)
            for labels, value in rows.items():
                family.add_metric(labels, value)
            yield family

    def _read(self) -> dict[str, dict[tuple[str, ...], float]]:
        state = read_state(self._client, self._settings)
        held = {(hold.scope, hold.kind) for hold in state.holds}
        values: dict[str, dict[tuple[str, ...], float]] = {
            "coupontools_redis_up": {(): 1.0},
            "coupontools_redis_writable": {(): float(state.redis.writable)},
            "coupontools_redis_forgot_total": {(): float(state.redis.forgot_times)},
            "coupontools_workers": {
                (name,): float(sum(worker.lives and name in worker.queues for worker in state.workers))
                for name in state.queues
            },
            "coupontools_held": {
                (scope, kind): float((scope, kind) in held) for scope in SCOPES for kind in HOLD_KINDS
            },
            "coupontools_queue_oldest_unanswered_seconds": {
                (name,): queue.oldest_seconds or 0.0 for name, queue in state.queues.items()
            },
        }
        for place in ("ready", "delayed", "running", "parked", "dead"):
            values[f"coupontools_queue_{place}"] = {
                (name,): float(getattr(queue, place)) for name, queue in state.queues.items()
            }
        return values
