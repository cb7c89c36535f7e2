"""Jobs enqueued the way any service does it: a message in a hash and its id on a list, in one step."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

import orjson
import redis
from dramatiq.common import dq_name

from actors import JOBS
from config.keys import Keys
from delivery.task import mark_of
from workers.broker.scripts import SCRIPTS
from workers.redis_link import ThreadRunner

__all__ = ["Enqueued", "enqueue_all", "job_message"]


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A message as it goes to Redis."""

    queue: str
    #: Also its id in Redis, so that `job` finds it at once, however many messages wait.
    message_id: str
    body: bytes


def job_message(
    actor: str,
    arguments: dict[str, Any],
    queue: str | None = None,
    *,
    delay: float = 0,
    message_id: str | None = None,
) -> Enqueued:
    """Return the message of one job, as the docs describe it.

    ``queue`` takes the place of the job's first queue, and ``message_id`` that of a new id; ``delay`` is in seconds.
    """
    queue = queue or JOBS[actor].queue
    message_id, now_ms = message_id or str(uuid.uuid4()), int(time.time() * 1000)
    options: dict[str, Any] = {"redis_message_id": message_id}
    if delay:
        # Delay as stock producers do: their queue of delayed messages has a name of its own.
        queue = dq_name(queue)
        options["eta"] = now_ms + round(delay * 1000)
    message = {
        "queue_name": queue,
        "actor_name": actor,
        "args": [],
        "kwargs": arguments,
        "options": options,
        "message_id": message_id,
        "message_timestamp": now_ms,
    }
    return Enqueued(queue, message_id, orjson.dumps(message))


def enqueue_all(
    client: redis.Redis,
    keys: Keys,
    messages: list[Enqueued],
    counted: tuple[str, str, str, int] | None = None,
) -> int:
    """Enqueue the messages in one step, and return how many were new.

    ``counted`` is the batch that counts how many were enqueued: the key of its counts, its id, the lane of these messages and
    the ms that the counts are kept.

    Raises:
        redis.RedisError: Redis refused some or all of them, or its answer was lost. Calling again with the same messages is safe: those
            that are enqueued already, or answered by now, are left alone.
    """
    names: list[str] = []
    arguments: list[str | bytes] = []
    for message in messages:
        queue = keys.queue(message.queue)
        number, mark = mark_of(message.message_id)
        names += [queue.ready, queue.bodies, keys.answered(message.message_id), keys.marks(number)]
        arguments += [message.message_id, mark, message.body]
    if counted is not None:
        key, batch_id, lane, ttl_ms = counted
        names.append(key)
        arguments += [batch_id, lane, str(ttl_ms)]
    new: int = ThreadRunner(client).run(SCRIPTS["enqueue_all"], names, arguments)
    return new
