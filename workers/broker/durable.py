"""A Redis broker that loses nothing: Dramatiq's wire format, actors and middleware, with the parts that lose messages replaced."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis, dq_name
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import CurrentMessage

from config import Settings
from config.keys import Keys
from delivery import Gate, Policy
from workers.broker.consumer import DurableConsumer
from workers.broker.places import Places
from workers.broker.scripts import SCRIPTS
from workers.redis_link import AsyncRunner, Link, ThreadRunner, is_outage, sync_client

__all__ = ["DEAD_LETTER_MS", "DurableBroker"]

#: How long dead letters are kept.
DEAD_LETTER_MS = 7 * 86400 * 1000
#: How long a consumer waits at most, for messages or for room, before it looks again, in seconds.
IDLE_SECONDS = 1.0
#: How many times an enqueue is tried in all; the script is safe to repeat after a lost answer.
ENQUEUE_ATTEMPTS = 3


class DurableBroker(RedisBroker):
    """Replaces Dramatiq's RedisBroker.

    ``concurrency`` is how many jobs run at once in this process.
    """

    def __init__(self, settings: Settings, *, concurrency: int) -> None:
        self.settings = settings
        self.policy = Policy.of(settings)
        client = sync_client(settings.redis_url)
        super().__init__(  # type: ignore[no-untyped-call]
            middleware=[CurrentMessage()],
            namespace=settings.broker_namespace,
            heartbeat_timeout=round(settings.worker_heartbeat_seconds * 1000),
            dead_message_ttl=DEAD_LETTER_MS,
            client=client,
        )
        self.actor_options.add("also")
        self.broker_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.keys = Keys.of(settings)
        #: Each known actor's queues.
        self.homes: dict[str, tuple[str, ...]] = {}
        self.events_maxlen = settings.events_maxlen
        #: The number of the form in which data is stored, as of the last enrolment.
        self.form = 1
        self.link = Link()
        self.draining = threading.Event()
        #: Set when Redis goes away while this worker stops: nothing can be handed back any more.
        self.deserted = threading.Event()
        #: The parts without which this worker is of no use, beside Dramatiq's own threads. The code that starts a part adds it.
        self.parts: list[threading.Thread | AsyncRunner] = []
        #: Called at intervals: returns whether the event loop has had a turn since the last call. If not, the next one returns where it is.
        self.loop_turns: Callable[[], bool] = lambda: True
        self.where_loop_is: Callable[[], str] = lambda: ""
        #: Called with the queue of each entry that was set aside.
        self.on_set_aside: Callable[[str], None] = lambda _: None
        #: Waits the given seconds; returns whether this process was told to stop meanwhile.
        self.pause: Callable[[float], bool] = self.draining.wait
        #: Called with each heartbeat, in the caretaker's thread.
        self.on_beat: Callable[[], None] = lambda: None
        #: Why this worker may not go on; empty while it may.
        self.refused = ""
        #: Could the event loop be closed at the end?
        self.loop_closed = True
        #: Which jobs have a place in this process, and how many messages it may have in hand.
        self.gate = Gate(concurrency, claims=self.policy.claims_at_once)
        self.places = Places(concurrency)
        #: This worker's description of itself in Redis, as JSON: the one that was written last.
        self.about = b"{}"
        #: Numbers for fetches, each larger than all before.
        self.epochs: Iterator[int] = itertools.count(1)
        self._runner = ThreadRunner(client)

    def declare_actor(self, actor: dramatiq.Actor[Any, Any]) -> None:
        """Declare an actor, and note its queues: its own, and those that its option ``also`` names."""
        super().declare_actor(actor)
        self.homes[actor.actor_name] = (actor.queue_name, *actor.options.get("also", ()))

    @property
    def consumer_class(self) -> type[DurableConsumer]:
        """The class that takes messages off a queue."""
        return DurableConsumer

    def waiting_client(self) -> redis.Redis:
        """Return a client for one thread that waits in Redis for messages."""
        return sync_client(self.settings.redis_url, timeout=IDLE_SECONDS + 5.0)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> DurableConsumer:  # noqa: ARG002
        """Return a consumer of the queue. ``prefetch`` is ignored: it counts threads, but jobs run on a loop, and `Places` limits them."""
        return DurableConsumer(self, queue_name, min(timeout / 1000, IDLE_SECONDS))

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue; delays live in Redis, so there is no delay queue to consume."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        """Enqueue a message, at once or ``delay`` milliseconds from now.

        Raises:
            dramatiq.errors.ConnectionClosed: Redis did not answer in a few attempts. The message may be on its queue all the same.
                Enqueueing it again adds a second entry, but its message_id keeps it from a second answer.
        """
        options = {"redis_message_id": str(uuid.uuid4())}
        queue_name = message.queue_name
        message = message.copy(options=options)
        due = 0
        if delay is not None:
            due = current_millis() + delay
            message = message.copy(queue_name=dq_name(queue_name), options={"eta": due})
        self.emit_before("enqueue", message, delay)
        keys = self.keys.queue(queue_name)
        self._put(
            [keys.ready, keys.bodies, keys.delayed], [options["redis_message_id"], message.encode(), due]
        )
        self.emit_after("enqueue", message, delay)
        return message

    def _put(self, keys: list[str], args: list[Any]) -> None:
        # All threads share one name in the books: a thread that failed may never enqueue again, and any later success shows that
        # Redis is back.
        who = "enqueue"
        for attempt in range(1, ENQUEUE_ATTEMPTS + 1):
            began = time.monotonic()
            try:
                self._runner.run(SCRIPTS["enqueue"], keys, args)
            except Exception as error:
                if not is_outage(error):
                    raise
                pause = self.link.lost(who, error, began)
                if attempt == ENQUEUE_ATTEMPTS:
                    raise ConnectionClosed(error) from None
                time.sleep(pause)
            else:
                self.link.answered(who)
                return

    def flush(self, queue_name: str) -> None:
        """Drop all messages of a queue, delayed and dead ones too."""
        keys = self.keys.queue(queue_name)
        self.client.delete(
            keys.ready,
            keys.bodies,
            keys.delayed,
            keys.stock_delayed,
            keys.stock_delayed_bodies,
            keys.dead,
            keys.dead_bodies,
            keys.dead_reasons,
            keys.deaths,
            self.keys.acks(self.broker_id, queue_name),
        )

    def do_qsize(self, queue_name: str) -> int:
        """Return how many messages of a queue are not answered, wherever they wait."""
        keys = self.keys.queue(queue_name)
        return int(self.client.hlen(keys.bodies)) + int(self.client.hlen(keys.stock_delayed_bodies))

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
