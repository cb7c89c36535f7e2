"""The workers' state in Redis, as `status`, `check` and metrics show it.

Everything here takes the same time with ten jobs as with a million: it asks for lengths and reads no jobs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from config import Settings
from config.keys import Keys

if TYPE_CHECKING:
    # Only named here: `run` asks for the queues alone.
    import redis

__all__ = ["HOLD_KINDS", "QUEUES", "SCOPES", "State", "account_keys", "read_state", "read_workers"]

#: Every queue there is. Written down rather than imported from the actors: a health check would load all that carries jobs out.
QUEUES = ("webhooks", "groups", "contacts", "reads", "bulk")
#: What a worker says of itself, and of which kind it is.
_ABOUT: Final = {"queues": list, "host": str, "pid": int, "account": str}
#: What can be held: all work of the account, or one channel's.
SCOPES = ("account", "sms", "email")
#: Why: the API refuses, does not answer, or asks for a pause; or an operator paused it.
HOLD_KINDS = ("refused", "outage", "asked", "paused")


@dataclass(frozen=True, slots=True)
class QueueState:
    """How many jobs of one queue are ready, delayed, running, parked by a hold, and dead. What was delayed and is due is ready."""

    ready: int
    delayed: int
    running: int
    parked: int
    dead: int


@dataclass(frozen=True, slots=True)
class HoldState:
    """Why work of one scope waits, since when, and when it is tried again (RFC 3339; None where an operator says when)."""

    scope: str
    kind: str
    code: int | None
    message: str
    since: str
    retry_at: str | None
    #: The host and the process whose call it was; or who paused.
    worker: str


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
                id=worker_id.decode("utf-8", "backslashreplace"),
                queues=[queue for queue in about.get("queues", []) if isinstance(queue, str)],
                host=about.get("host", ""),
                pid=about.get("pid", 0),
                seen_seconds_ago=round(max(0.0, now - float(at) / 1000), 3),
                account=about.get("account", ""),
            )
        )
    holders = [worker_id.decode("utf-8", "backslashreplace") for worker_id, _ in seen]
    return sorted(workers, key=lambda worker: worker.seen_seconds_ago), holders


def _about(text: bytes) -> dict[str, Any]:
    """Return what a worker says of itself, and nothing that is not of the kind it must be: anybody may write to the hash."""
    try:
        about = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    told = about.items() if isinstance(about, dict) else ()
    return {name: value for name, value in told if isinstance(value, _ABOUT.get(name, object))}


def _read_queues(client: redis.Redis, keys: Keys, holders: list[str]) -> dict[str, QueueState]:
    """Return every queue, also those that never had a job; ``running`` counts what ``holders`` have fetched and not answered."""
    seconds, micros = client.time()
    now = seconds * 1000 + micros // 1000
    places = _parking_places(client, keys)
    # A transaction reads all numbers at one moment, so that a job that moves is counted once.
    with client.pipeline(transaction=True) as pipeline:
        for name in QUEUES:
            queue = keys.queue(name)
            pipeline.llen(queue.ready)
            pipeline.zcount(queue.delayed, "-inf", now)
            pipeline.zcard(queue.delayed)
            pipeline.llen(queue.stock_delayed)
            pipeline.zcard(queue.dead)
            pipeline.scard(queue.forward)
            for place in places[name]:
                pipeline.zcard(place)
            for holder in holders:
                pipeline.scard(keys.acks(holder, name))
        numbers = iter(pipeline.execute())
    states = {}
    for name in QUEUES:
        ready, due, delayed, stock_delayed, dead, forward = (next(numbers) for _ in range(6))
        parked = sum(next(numbers) for _ in places[name])
        running = sum(next(numbers) for _ in holders)
        states[name] = QueueState(
            ready=max(0, ready + due - forward),
            delayed=delayed - due + stock_delayed,
            running=running,
            parked=parked,
            dead=dead,
        )
    return states


def _parking_places(client: redis.Redis, keys: Keys) -> dict[str, list[str]]:
    """Return the keys of the parking places of each queue, of whatever account."""
    places: dict[str, list[str]] = {name: [] for name in QUEUES}
    members: Any = client.smembers(keys.parked)
    for member in members:
        place = member.decode("utf-8", "backslashreplace")
        queue = place.split("|")[1]
        if queue in places:
            places[queue].append(f"{keys.parked}:{place}")
    return places


def account_keys(settings: Settings, workers: list[WorkerState]) -> Keys:
    """Return the keys of the account of the worker that was seen latest, so that what only looks needs no client id."""
    account = next((worker.account for worker in workers if worker.account), settings.account)
    return dataclasses.replace(Keys.of(settings), account=account)


def _read_holds(client: redis.Redis, keys: Keys) -> list[HoldState]:
    """Return the holds of now, those of the whole account first."""
    found: Any = client.hgetall(keys.holds)
    holds = [_hold(orjson.loads(text)) for text in found.values()]
    return sorted(holds, key=lambda hold: (SCOPES.index(hold.scope), hold.kind, hold.since))


def _hold(told: dict[str, Any]) -> HoldState:
    return HoldState(
        scope=told["scope"],
        kind=told["kind"],
        code=int(told["code"]) if told["code"] else None,
        message=told["message"],
        since=_timestamp(told["since"]),
        retry_at=_timestamp(told["retry_at"]) if "retry_at" in told else None,
        worker=told["worker"],
    )


def _timestamp(milliseconds: float) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
    keys = account_keys(settings, workers)
    return State(
        _read_queues(client, keys, holders),
        workers,
        _read_holds(client, keys),
        settings.coupontools_rate_limit,
    )
