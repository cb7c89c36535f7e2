"""Where a message that is not answered is, and why it is there."""

from __future__ import annotations

from typing import Any

import redis

from actors import key_of
from config.keys import Keys
from delivery.task import short_digest
from workers.halts import WHY
from workers.lookup.found import Found, fields_of, kwargs_of, text_of
from workers.redis_state import read_redis, time_of
from workers.throughput import count_of
from workers.worker_list import WorkerState

__all__ = ["Places", "key_in_force"]


def key_in_force(fields: dict[str, Any]) -> str | None:
    """Return the idempotency key of a message, given or derived; None if it has none."""
    return key_of(text_of(fields, "actor_name") or "", kwargs_of(fields))


def _why_held(name: str, hold: dict[str, Any]) -> str:
    """Return in words why the jobs of a hold wait; ``hold`` is empty if the hold is over."""
    scope, _, kind = name.partition("/")
    why = WHY.get(kind.partition("/")[0], kind)
    return f"{scope} held, {why}: {hold.get('message', 'this hold is over, and the job comes back')}"


class Places:
    """Says where messages are."""

    def __init__(self, client: redis.Redis, keys: Keys, workers: list[WorkerState]) -> None:
        # redis-py declares ids as text. But an id may be any bytes, and one that is not UTF-8 can only be sent as bytes.
        self._client: Any = client
        self._keys = keys
        self._workers = workers
        seconds, micros = client.time()
        self._now = seconds * 1000 + micros // 1000

    def find(self, queue: str, entry_id: bytes, fields: dict[str, Any], *, delayed_by_stock: bool) -> Found:
        """Return where this message of ``queue`` is."""
        found = Found(text_of(fields, "message_id") or "", "waiting", job=text_of(fields, "actor_name"))
        found.queue = queue
        found.since, found.message = time_of(fields.get("message_timestamp")), fields
        if delayed_by_stock:
            options = fields.get("options")
            found.state = "delayed"
            found.until = time_of(options.get("eta") if isinstance(options, dict) else None)
            return found
        began = self._read_record(found, fields)
        if worker := self._holder(queue, entry_id):
            found.worker = worker
            if began and found.state != "unknown":
                found.state, found.since = "running", began
            elif found.state != "unknown":
                found.reason = f"worker {worker} has fetched it, and it waits for its turn there"
        elif found.state != "unknown" and not self._is_held(found, queue, entry_id):
            self._wait(found, queue, entry_id, text_of(kwargs_of(fields), "channel") or "")
        return found

    def _read_record(self, found: Found, fields: dict[str, Any]) -> str | None:
        """Fill in what the ledger knows of the job. Return when its call began, if one is under way."""
        name = key_in_force(fields) or f"message\n{found.message_id}"
        record = self._keys.record(str(found.job), short_digest(name))
        known: Any = self._client.hmget(record, "s", "n", "rb", "w", "cl", "en", "un")
        state, attempts, look_at, why, claimed_at, lost_at, looks = known
        found.attempts = count_of(attempts or b"")
        if why:
            found.reason = why.decode("utf-8", "replace")
        if state == b"unknown":
            found.state, found.read_back_at = "unknown", time_of(count_of(look_at or b"0"))
            found.since = time_of(count_of(lost_at or b"0"))
            found.looks = count_of(looks or b"0")
        return time_of(count_of(claimed_at)) if state == b"running" and claimed_at else None

    def _holder(self, queue: str, entry_id: bytes) -> str | None:
        return next(
            (
                worker.id
                for worker in self._workers
                if self._client.sismember(self._keys.acks(worker.id, queue), entry_id)
            ),
            None,
        )

    def _is_held(self, found: Found, queue: str, entry_id: bytes) -> bool:
        members: Any = self._client.smembers(self._keys.parked)
        for member in members:
            place = member.decode("utf-8", "replace")
            hold, _, of_queue = place.rpartition("|")[0].rpartition("|")
            if of_queue != queue:
                continue
            if self._client.zscore(f"{self._keys.parked}:{place}", entry_id) is None:
                continue
            text: Any = self._client.hget(self._keys.holds, hold)
            told = fields_of(text or b"{}") or {}
            found.state = "held"
            found.reason = _why_held(hold, told)
            found.since = max(filter(None, (time_of(told.get("since")), found.since)), default=None)
            return True
        return False

    def _why_no_worker(self, queue: str) -> str:
        # While Redis takes no writes, no worker can send a heartbeat: then that is the reason.
        state = read_redis(self._client, self._keys)
        if not state.writable and any(queue in worker.queues for worker in self._workers):
            return state.problems[0]
        return f"no worker takes what waits in {queue}"

    def _wait(self, found: Found, queue: str, entry_id: bytes, channel: str) -> None:
        keys = self._keys.queue(queue)
        due = self._client.zscore(keys.delayed, entry_id)
        if due is not None and float(due) > self._now:
            found.state, found.until = "delayed", time_of(float(due))
            return
        holds: Any = self._client.hvals(self._keys.holds)
        for hold in filter(None, map(fields_of, holds)):
            if hold.get("call_only") and hold.get("call") != f"{channel or 'account'}/{found.job}":
                # An outage of another kind of call.
                continue
            if hold.get("scope") in {"account", channel}:
                found.reason = _why_held(f"{hold['scope']}/{hold.get('kind')}", hold)
                return
        served = {name for worker in self._workers if worker.lives for name in worker.queues}
        if queue not in served:
            found.reason = self._why_no_worker(queue)
            return
        before = (
            self._client.lpos(keys.ready, entry_id)
            if due is None
            else self._client.zrank(keys.delayed, entry_id)
        )
        if before is not None:
            found.reason = f"behind {before:,} others in {queue}" if before else f"next in {queue}"
