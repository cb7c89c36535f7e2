"""The workers' state in Redis, as `status`, `check` and metrics show it.

Everything here takes the same time with ten jobs as with a million: it asks for lengths and reads no jobs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from config import Settings
from config.keys import Keys

if TYPE_CHECKING:
    # Only named here: `run` asks for the queues alone.
    import redis

__all__ = ["QUEUES", "SCOPES", "State", "read_state", "read_workers"]

#: Every queue there is. Written down rather than imported from the actors: a health check would load all that carries jobs out.
QUEUES = ("contacts", "groups", "reads", "webhooks")
#: What can be held: all work of the account, or one channel's.
SCOPES = ("account", "sms", "email")


@dataclass(frozen=True, slots=True)
class QueueState:
    """How many jobs of one queue are ready, delayed, running and dead."""

    ready: int
    delayed: int
    running: int
    dead: int


@dataclass(frozen=True, slots=True)
class HoldState:
    """Why work of one scope waits, and when it is tried again (RFC 3339)."""

    scope: str
    kind: str
    code: int | None
    message: str
    retry_at: str


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker process."""

    id: str
    queues: list[str]
    host: str
    pid: int
    seen_seconds_ago: float
    #: The account whose jobs it carries out (``Settings.account``).
    account: str


def read_workers(client: redis.Redis, settings: Settings) -> tuple[list[WorkerState], list[str]]:
    """Return the worker processes that have not signed off, the one seen latest first, and all ids with a heartbeat.

    Stock Dramatiq brokers that only produce have a heartbeat, too, and may hold messages.
    """
    keys = Keys.of(settings)
    with client.pipeline(transaction=False) as pipeline:
        pipeline.time()
        pipeline.zrange(keys.heartbeats, 0, -1, withscores=True)
        pipeline.hgetall(keys.workers)
        (seconds, micros), seen, told = pipeline.execute()
    now = seconds + micros / 1e6
    workers = []
    for worker_id, at in seen:
        if worker_id not in told:
            continue
        about = _about(told[worker_id])
        workers.append(
            WorkerState(
                id=worker_id.decode(),
                queues=about.get("queues", []),
                host=about.get("host", ""),
                pid=about.get("pid", 0),
                seen_seconds_ago=round(max(0.0, now - float(at) / 1000), 3),
                account=about.get("account", ""),
            )
        )
    holders = [worker_id.decode("utf-8", "backslashreplace") for worker_id, _ in seen]
    return sorted(workers, key=lambda worker: worker.seen_seconds_ago), holders


def _about(text: bytes) -> dict[str, Any]:
    try:
        about = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return about if isinstance(about, dict) else {}


def _read_queues(client: redis.Redis, settings: Settings, holders: list[str]) -> dict[str, QueueState]:
    """Return every queue, also those that never had a job; ``running`` counts what ``holders`` have fetched and not answered."""
    keys = Keys.of(settings)
    # A transaction reads all numbers at one moment, so that a job that moves is counted once.
    with client.pipeline(transaction=True) as pipeline:
        for name in QUEUES:
            queue = keys.queue(name)
            pipeline.llen(queue.ready)
            pipeline.zcard(queue.delayed)
            pipeline.llen(queue.stock_delayed)
            pipeline.zcard(queue.dead)
            for holder in holders:
                pipeline.scard(keys.acks(holder, name))
        numbers = pipeline.execute()
    width = 4 + len(holders)
    states = {}
    for at, name in enumerate(QUEUES):
        ready, delayed, stock_delayed, dead, *running = numbers[at * width : (at + 1) * width]
        states[name] = QueueState(ready, delayed + stock_delayed, sum(running), dead)
    return states


def _read_holds(client: redis.Redis, settings: Settings, workers: list[WorkerState]) -> list[HoldState]:
    """Return the holds of now: refusals of the account and outages of the API.

    The account is that of the worker seen latest, so that `status` needs no client id.
    """
    account = next((worker.account for worker in workers if worker.account), settings.account)
    keys = dataclasses.replace(Keys.of(settings), account=account)
    with client.pipeline(transaction=True) as pipeline:
        for scope in SCOPES:
            pipeline.hmget(keys.hold(scope), "kind", "code", "message", "retry_at")
        rows = pipeline.execute()
    return [
        HoldState(
            scope=scope,
            kind=kind.decode(),
            code=int(code) if code else None,
            message=(message or b"").decode("utf-8", "replace"),
            retry_at=datetime.fromtimestamp(float(retry_at) / 1000, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
        )
        for scope, (kind, code, message, retry_at) in zip(SCOPES, rows, strict=True)
        if kind
    ]


@dataclass(frozen=True, slots=True)
class State:
    """Queues, workers and holds, at nearly the same moment."""

    queues: dict[str, QueueState]
    workers: list[WorkerState]
    holds: list[HoldState]
    #: The setting: API requests a second over all workers; 0 = no limit.
    rate: float


def read_state(client: redis.Redis, settings: Settings) -> State:
    """Return what `status` shows.

    Raises:
        redis.RedisError: Redis could not be asked.
    """
    workers, holders = read_workers(client, settings)
    return State(
        _read_queues(client, settings, holders),
        workers,
        _read_holds(client, settings, workers),
        settings.coupontools_rate_limit,
    )
