"""The workers' state in Redis, as `status`, `check` and metrics show it.

Everything here takes the same time with ten jobs as with a million: it asks for lengths and reads no jobs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from config import Settings
from config.keys import QUEUES, SCOPES, Keys
from workers.other_queues import other_queues
from workers.redis_state import RedisState, read_redis, rfc3339
from workers.throughput import left_seconds, read_per_minute
from workers.worker_list import WorkerState, account_keys, read_workers

if TYPE_CHECKING:
    # Only named here: `run` asks for the queues alone.
    from collections.abc import Callable

    import redis
    from redis.client import Pipeline

__all__ = [
    "State",
    "find_other_queues",
    "read_state",
]

#: A message of more bytes is no job.
LONGEST_BODY = 2**20
#: Of what a worker has in hand, and of what waits for its time, so many are looked at for the oldest.
LOOKED_AT = 200


@dataclass(frozen=True, slots=True)
class QueueState:
    """How many jobs of one queue are ready, delayed, running, parked by a hold, and dead. What was delayed and is due is ready."""

    ready: int
    delayed: int
    running: int
    parked: int
    dead: int
    #: How long ago the oldest unanswered job was enqueued, in Redis or in a worker's hand; None where there is none.
    oldest_seconds: float | None
    #: How many jobs were answered a minute of late; what was set aside is not counted.
    per_minute: float
    #: How long what is ready, running or parked takes at this pace; None where something waits and nothing is answered.
    left_seconds: float | None


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


def _at_one_moment(client: redis.Redis, ask: Callable[[Pipeline], None]) -> list[Any]:
    """Return the answers to what `ask` asks, all of one moment, so that a job that moves is counted once."""
    from redis.exceptions import OutOfMemoryError  # noqa: PLC0415 - whoever calls this has loaded it

    try:
        with client.pipeline(transaction=True) as pipeline:
            ask(pipeline)
            return pipeline.execute()
    except OutOfMemoryError:
        # A full Redis refuses even to read within a transaction. What moves meanwhile may then be counted twice.
        with client.pipeline(transaction=False) as pipeline:
            ask(pipeline)
            return pipeline.execute()


def _read_queues(
    client: redis.Redis,
    keys: Keys,
    names: list[str],
    *,
    holders: list[str],
    workers: list[WorkerState],
    silence: float,
) -> dict[str, QueueState]:
    """Return these queues, also those that never had a job. What ``holders`` have fetched runs, or waits for a place there."""
    known = {worker.id: worker for worker in workers}
    seconds, micros = client.time()
    now = seconds * 1000 + micros // 1000
    places = _parking_places(client, keys, names)

    def ask(pipeline: Pipeline) -> None:
        for name in names:
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

    numbers = iter(_at_one_moment(client, ask))
    oldest = _read_oldest(client, keys, names, places, holders)
    paces = read_per_minute(client, keys)
    states = {}
    for name in names:
        ready, due, delayed, stock_delayed, dead, forward = (next(numbers) for _ in range(6))
        parked = sum(next(numbers) for _ in places[name])
        fetched = {holder: next(numbers) for holder in holders}
        running = sum(
            known[holder].running(name, count, silence) if holder in known else count
            for holder, count in fetched.items()
        )
        ready = max(0, ready + due - forward) + sum(fetched.values()) - running
        per_minute = paces.get(name, 0.0)
        states[name] = QueueState(
            ready=ready,
            delayed=delayed - due + stock_delayed,
            running=running,
            parked=parked,
            dead=dead,
            oldest_seconds=oldest[name],
            per_minute=per_minute,
            left_seconds=left_seconds(ready + running + parked, per_minute),
        )
    return states


def _parking_places(client: redis.Redis, keys: Keys, names: list[str]) -> dict[str, list[str]]:
    """Return the keys of the parking places of each queue."""
    places: dict[str, list[str]] = {name: [] for name in names}
    members: Any = client.smembers(keys.parked)
    for member in members:
        place = member.decode("utf-8", "backslashreplace")
        queue = place.split("|")[1]
        if queue in places:
            places[queue].append(f"{keys.parked}:{place}")
    return places


def _read_oldest(
    client: redis.Redis, keys: Keys, names: list[str], places: dict[str, list[str]], holders: list[str]
) -> dict[str, float | None]:
    """Return how long ago the oldest unanswered job of each queue was enqueued, wherever it is; a delay that is not due does not count.

    Looks at the head of what waits and of what is parked, at what workers have in hand, which is never much, and at what falls due next: a
    retry stands among these again and again, however long it has been tried.
    """
    with client.pipeline(transaction=False) as pipeline:
        pipeline.time()
        for name in names:
            queue = keys.queue(name)
            pipeline.lindex(queue.ready, 0)
            pipeline.zrange(queue.delayed, 0, LOOKED_AT - 1)
            for place in places[name]:
                pipeline.zrange(place, 0, 0, withscores=True)
            for holder in holders:
                pipeline.srandmember(keys.acks(holder, name), LOOKED_AT)
        (seconds, micros), *rows = pipeline.execute()
    now, told = seconds + micros / 1e6, iter(rows)
    candidates: dict[str, list[bytes]] = {}
    parked: dict[str, list[float]] = {}
    for name in names:
        head, first = next(told), next(told)
        parked[name] = [at for _ in places[name] for _, at in next(told)]
        in_hand = [entry_id for _ in holders for entry_id in next(told)]
        candidates[name] = [*([head] if head else []), *first, *in_hand]
    return {
        name: max(
            [
                *(round(max(0.0, now - at / 1000), 3) for at in parked[name]),
                *_ages(client, keys.queue(name).bodies, candidates[name], now),
            ],
            default=None,
        )
        for name in names
    }


def _ages(client: redis.Redis, bodies: str, ids: list[bytes], now: float) -> list[float]:
    if not ids:
        return []
    with client.pipeline(transaction=False) as pipeline:
        for entry_id in ids:
            pipeline.hstrlen(bodies, entry_id.decode("utf-8", "surrogateescape"))
        lengths = pipeline.execute()
    # What is too long to be a job is not read, either.
    short = [entry_id for entry_id, length in zip(ids, lengths, strict=True) if length <= LONGEST_BODY]
    found: Any = client.hmget(bodies, short) if short else []
    return [age for body in found if (age := _age(body, now)) is not None]


def _age(body: bytes | None, now: float) -> float | None:
    """Return how long ago a message was enqueued, or its producer's delay ended; None while that lasts, and of what is no message."""
    try:
        message = orjson.loads(body or b"null")
        since = float(message["message_timestamp"])
        due = float(message["options"].get("eta") or 0)
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return None
    return None if due > now * 1000 else max(0.0, round(now - max(since, due) / 1000, 3))


def find_other_queues(client: redis.Redis, settings: Settings) -> list[str]:
    """Return the queues with messages that no release like this one serves. Takes longer the more keys there are, up to a second."""
    return other_queues(client, Keys.of(settings), QUEUES)


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
        since=rfc3339(told["since"]),
        retry_at=rfc3339(told["retry_at"]) if "retry_at" in told else None,
        worker=told["worker"],
    )


@dataclass(frozen=True, slots=True)
class State:
    """Queues, workers, holds and Redis itself, at nearly the same moment."""

    queues: dict[str, QueueState]
    workers: list[WorkerState]
    holds: list[HoldState]
    #: API requests a second over all workers, as the worker seen latest has it; 0 = no limit.
    rate: float
    redis: RedisState

    def unserved(self, silence: float) -> list[str]:
        """Return the queues with work that no worker takes that was seen within `silence` seconds."""
        served = {
            name for worker in self.workers if worker.seen_seconds_ago <= silence for name in worker.queues
        }
        return [
            name for name, queue in self.queues.items() if queue.ready + queue.delayed and name not in served
        ]


def read_state(client: redis.Redis, settings: Settings, others: list[str] | None = None) -> State:
    """Return what `status` shows; ``others`` names queues beside ours.

    Raises:
        redis.RedisError: Redis could not be asked.
    """
    workers, holders = read_workers(client, settings)
    keys = account_keys(settings, workers)
    redis_state = read_redis(client, keys)
    refused = [f"Redis does not serve {worker.id}: {worker.without}" for worker in workers if worker.without]
    return State(
        _read_queues(
            client,
            keys,
            [*QUEUES, *(others or [])],
            holders=holders,
            workers=workers,
            silence=settings.worker_heartbeat_seconds,
        ),
        workers,
        _read_holds(client, keys),
        next((worker.rate for worker in workers if worker.rate is not None), settings.coupontools_rate_limit),
        dataclasses.replace(redis_state, warnings=redis_state.warnings + refused),
    )
