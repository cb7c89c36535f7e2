"""The workers' state in Redis, as `status`, `check` and metrics show it.

Everything here takes the same time with ten jobs as with a million: it asks for lengths and reads no jobs.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from config import Settings
from config.keys import Keys
from config.names import QUEUES, SCOPES
from workers.other_queues import NO_OTHERS, OtherQueues
from workers.redis_state import RedisState, read_redis, time_of
from workers.throughput import left_seconds, read_per_minute
from workers.worker_list import WorkerState, account_keys, read_workers, wrong_pair

if TYPE_CHECKING:
    # Only for types: callers pass a client, and so have loaded redis.
    import redis

__all__ = ["HoldState", "QueueState", "State", "read_state"]

_CODE: Final = re.compile(r"-?[0-9]{1,9}")
#: The script that counts the jobs.
_LOOK: Final = Path(__file__).with_name("look.lua")


@dataclass(frozen=True, slots=True)
class QueueState:
    """How many jobs of one queue are ready, delayed, running, parked by a hold, and dead. A delayed job that is due is ready."""

    ready: int
    delayed: int
    running: int
    parked: int
    dead: int
    #: How long ago the oldest unanswered job was enqueued, in Redis or in a worker's hands; None if there is none.
    oldest_seconds: float | None
    #: How many jobs a minute were answered lately; entries that were set aside are not counted.
    per_minute: float
    #: How long the ready, running and parked jobs take at this pace; None if jobs wait and none is answered.
    left_seconds: float | None


@dataclass(frozen=True, slots=True)
class HoldState:
    """Why work of one scope waits, since when, and when it is tried again (RFC 3339; None if an operator decides when).

    ``since`` is empty for a hold that cannot be read.
    """

    scope: str
    kind: str
    code: int | None
    message: str
    since: str
    retry_at: str | None
    #: The host and the process whose call began the hold; or who paused.
    worker: str


def _read_queues(
    client: redis.Redis, keys: Keys, names: list[str], workers: list[WorkerState]
) -> dict[str, QueueState]:
    """Return these queues, also those that never had a job. A fetched job is running if it has a place in its worker, else ready."""
    known = {worker.id: worker for worker in workers}
    look = [keys.heartbeats, keys.workers, keys.parked]
    for queue in map(keys.queue, names):
        look += [queue.ready, queue.bodies, queue.delayed, queue.stock_delayed, queue.dead, queue.forward]
    rows: Any = client.eval(_LOOK.read_text(encoding="utf-8"), len(look), *look, keys.namespace, *names)
    paces = read_per_minute(client, keys)
    states = {}
    for name, row in zip(names, rows, strict=True):
        ready, due, delayed, stock_delayed, dead, forward, parked, messages, oldest, *fetched = row
        holders = [each.decode("utf-8", "backslashreplace") for each in fetched[::2]]
        in_hand = dict(zip(holders, fetched[1::2], strict=True))
        running = sum(
            known[holder].running(name, count) if holder in known else count
            for holder, count in in_hand.items()
        )
        # A job that was brought forward is in the list and among the due ones: count it once. A stray is put back soon: count it as ready.
        standing = max(0, ready + due - forward)
        nowhere = max(0, messages - standing - (delayed - due) - parked - sum(in_hand.values()))
        waiting = standing + nowhere + sum(in_hand.values()) - running
        per_minute = paces.get(name, 0.0)
        states[name] = QueueState(
            ready=waiting,
            delayed=delayed - due + stock_delayed,
            running=running,
            parked=parked,
            dead=dead,
            oldest_seconds=None if oldest < 0 else oldest / 1000,
            per_minute=per_minute,
            left_seconds=left_seconds(waiting + running + parked, per_minute),
        )
    return states


def _read_holds(client: redis.Redis, keys: Keys) -> list[HoldState]:
    """Return the holds that there are now, those of the whole account first; one for each scope, kind and refused secret."""
    found: Any = client.hgetall(keys.holds)
    alike: dict[bytes, list[HoldState]] = {}
    for name, text in found.items():
        # In an outage each kind of call has a hold of its own: "sms/outage/add_contact".
        outage, is_outage, _ = name.partition(b"/outage")
        alike.setdefault(outage + is_outage, []).append(_hold(name, text))
    order = {scope: number for number, scope in enumerate(SCOPES)}
    return sorted(
        map(_as_one, alike.values()),
        key=lambda hold: (order.get(hold.scope, len(order)), hold.kind, hold.since),
    )


def _as_one(holds: list[HoldState]) -> HoldState:
    """Return the holds of one scope and kind as one; the message of each names its kind of call."""
    first, *others = sorted(holds, key=lambda hold: hold.since)
    if not others:
        return first
    return dataclasses.replace(
        first,
        message="; ".join(dict.fromkeys(hold.message for hold in (first, *others))),
        retry_at=min((hold.retry_at for hold in holds if hold.retry_at), default=None),
    )


def _hold(name: bytes, text: bytes) -> HoldState:
    """Return what can be read of a hold: one that cannot be read must not hide the rest of the state."""
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        told = None
    told = told if isinstance(told, dict) else {"message": "this hold is on record, but cannot be read"}
    scope, _, kind = name.decode("utf-8", "backslashreplace").partition("/")
    code = _CODE.fullmatch(str(told.get("code")))
    return HoldState(
        scope=str(told.get("scope", scope)),
        kind=str(told.get("kind", kind)),
        code=int(code[0]) if code else None,
        message=str(told.get("message", "")),
        since=time_of(told.get("since")) or "",
        retry_at=time_of(told.get("retry_at")),
        worker=str(told.get("worker", "")),
    )


@dataclass(frozen=True, slots=True)
class State:
    """Queues, workers, holds and Redis itself, at nearly the same moment."""

    queues: dict[str, QueueState]
    workers: list[WorkerState]
    holds: list[HoldState]
    #: API requests a second over all workers, by the setting of the worker seen latest; 0 = no limit.
    rate: float
    redis: RedisState

    def unserved(self) -> list[str]:
        """Return the queues with work that no living worker takes.

        While Redis takes no writes, no worker can send a heartbeat, so all workers that it knows count as living.
        """
        served = {
            name
            for worker in self.workers
            if worker.lives or not self.redis.writable
            for name in worker.queues
        }
        return [
            name for name, queue in self.queues.items() if queue.ready + queue.delayed and name not in served
        ]


def read_state(client: redis.Redis, settings: Settings, others: OtherQueues = NO_OTHERS) -> State:
    """Return what `status` shows; ``others`` names queues beside ours.

    Raises:
        redis.RedisError: Redis could not be asked.
    """
    workers = read_workers(client, settings)
    keys = account_keys(settings, workers)
    redis_state = read_redis(client, keys)
    warnings = [f"Redis does not serve {worker.id}: {worker.without}" for worker in workers if worker.without]
    if not others.whole:
        warnings.append(
            "this database holds so many keys that not all were looked at for queues that no worker knows"
        )
    wrong = wrong_pair(client, settings)
    problems = ([wrong] if wrong else []) + redis_state.problems
    return State(
        _read_queues(client, keys, [*QUEUES, *others.names], workers),
        workers,
        _read_holds(client, keys),
        next((worker.rate for worker in workers if worker.rate is not None), settings.coupontools_rate_limit),
        dataclasses.replace(redis_state, problems=problems, warnings=redis_state.warnings + warnings),
    )
