"""Puts messages into Redis for the event loop: all that arrive during one step go into the next one together."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import redis
import structlog

from config.keys import Keys
from workers.producer import Enqueued, enqueue_all
from workers.redis_link import Link

__all__ = ["Intake", "Unavailable"]

log = structlog.get_logger("workers.receiver")

#: How long a message may wait for Redis before its sender is told to try again, in seconds.
PATIENCE_SECONDS: Final = 5.0
#: The most messages in one step.
BATCH: Final = 64
#: The name under which the link knows the receiver.
WHO: Final = "receiver"


class Unavailable(Exception):  # noqa: N818 - says what Redis is
    """Redis did not confirm the message: send the webhook again. If Redis has it after all, a second one costs nothing."""


class Intake:
    """Enqueues messages over one connection, and reports when Redis is away and back.

    One step runs at a time, and messages that arrive meanwhile wait for the next. So a burst costs few round trips, and a Redis that
    hangs blocks one thread only.
    """

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._link = Link()
        self._waiting: list[tuple[Enqueued, asyncio.Future[None]]] = []
        self._in_step: list[tuple[Enqueued, asyncio.Future[None]]] = []
        self._stepping: asyncio.Task[None] | None = None

    async def put(self, message: Enqueued) -> None:
        """Return once Redis has the message.

        Raises:
            Unavailable: Redis did not confirm it in time.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        late = loop.call_later(PATIENCE_SECONDS, _give_up, done)
        self._waiting.append((message, done))
        if self._stepping is None:
            self._stepping = asyncio.create_task(self._step_until_empty())
        try:
            await done
        finally:
            late.cancel()

    def give_up(self) -> None:
        """Raise `Unavailable` in every `put` that waits for Redis."""
        for _, done in [*self._waiting, *self._in_step]:
            _give_up(done)

    async def _step_until_empty(self) -> None:
        try:
            while self._waiting:
                # Leave out messages whose sender was told to try again.
                waiting = [each for each in self._waiting if not each[1].done()]
                self._in_step, self._waiting = waiting[:BATCH], waiting[BATCH:]
                if self._in_step:
                    await self._step(self._in_step)
        finally:
            self._in_step, self._stepping = [], None

    async def _step(self, batch: list[tuple[Enqueued, asyncio.Future[None]]]) -> None:
        error: Exception | None = None
        try:
            await asyncio.to_thread(self._enqueue, [message for message, _ in batch])
        except Exception as caught:
            error = Unavailable() if isinstance(caught, redis.RedisError | OSError) else caught
        for _, done in batch:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
        if error is None:
            # One line for the whole step: a line for each message took as long as reading the webhook.
            log.info("webhooks.accepted", message_ids=[message.message_id for message, _ in batch])

    def _enqueue(self, messages: list[Enqueued]) -> None:
        began = time.monotonic()
        try:
            try:
                enqueue_all(self._client, self._keys, messages)
            except redis.ConnectionError:
                # Servers and load balancers close idle connections: try once more, on a new one.
                enqueue_all(self._client, self._keys, messages)
        except (redis.RedisError, OSError) as error:
            self._link.lost(WHO, error, began)
            raise
        self._link.answered(WHO)


def _give_up(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_exception(Unavailable())
