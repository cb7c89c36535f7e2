"""Takes messages off one queue: waits for room and for messages, and fetches them. `Hands` keeps the messages it has taken (hands.py)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

import dramatiq
import structlog
from dramatiq.broker import Consumer
from dramatiq.errors import ConnectionClosed

from delivery import MOST_DEATHS
from workers.broker.entries import DurableMessage
from workers.broker.hands import ALONE_FROM, LONGEST_ENTRY, Hands, Home
from workers.broker.places import LEAST_FETCH
from workers.broker.scripts import SCRIPTS
from workers.redis_link import ThreadRunner, is_outage, is_replica_now

__all__ = ["DurableConsumer"]

log = structlog.get_logger("workers.broker")

#: Most ids in one fetch: Redis serves nobody else while the script runs.
FETCH_AT_ONCE = 256
#: Most bytes of messages in one fetch, unless the first message alone is longer.
FETCH_BYTES = 8 << 20
#: How long to wait for room that is worth a fetch, in seconds; and how many times to wait while spare messages are in hand, since those
#: can begin meanwhile.
MOMENT_SECONDS = 0.005
MOMENTS = 4
#: How often a worker that must try a suspect alone looks whether it may take it, in seconds.
ALONE_SECONDS = 0.1
#: How long an idle worker watches the ready list alone before it runs a fetch again, in seconds.
LOOK_AGAIN_SECONDS = 10.0
#: How often a benched worker (its secret is refused, another's is not) looks whether it may call again, in seconds.
BENCHED_SECONDS = 0.1


class DurableConsumer(Consumer):
    """One queue's consumer.

    A message stays outstanding until delivery settles it; Dramatiq's own acknowledgement after the actor's return does nothing.
    Only one thread iterates.
    """

    def __init__(self, broker: Home, queue_name: str, timeout: float) -> None:
        self._broker = broker
        self._queue = queue_name
        self._keys = broker.keys.queue(queue_name)
        self._hands = Hands(broker, queue_name)
        self._all_acks = [
            broker.keys.acks(broker.broker_id, each) for each in sorted(broker.get_declared_queues())
        ]
        self._timeout = timeout
        #: How many messages per worker waited at the last fetch.
        self._waiting = 0
        #: Until when the ready list alone is watched, since the last fetch found nothing.
        self._quiet_until = 0.0
        self._began = 0.0
        self._runner = ThreadRunner(broker.client)
        self._waiter = broker.waiting_client()
        self._link = broker.link
        self._who = f"fetch-{queue_name}"
        self._who_waits = f"wait-{queue_name}"
        self._cannot_wait = False
        #: `Link.losses` at the last reconciliation; None before the first, and after a lost answer.
        self._losses: int | None = None
        self._ready: deque[DurableMessage] = deque()

    # -- Dramatiq's side ------------------------------------------------------------------------------------------------------

    def __next__(self) -> DurableMessage | None:
        if not self._ready:
            self._began = time.monotonic()
            try:
                self._take_more()
            except Exception as error:
                if not is_outage(error):
                    raise
                # The ids in the lost answer are outstanding in Redis but unknown here: reconcile before the next fetch.
                time.sleep(self._link.lost(self._who, error, self._began))
                self._losses = None
                self._quiet_until = 0.0
        return self._ready.popleft() if self._ready else None

    def ack(self, message: dramatiq.MessageProxy) -> None:
        """Do nothing: delivery acknowledges a message when it settles it, not when its actor returns."""

    def nack(self, message: dramatiq.MessageProxy) -> None:
        """Set aside a message that a middleware has failed.

        Raises:
            dramatiq.errors.ConnectionClosed: Redis could not be asked; Dramatiq calls again.
        """
        if not isinstance(message, DurableMessage):
            return
        began = time.monotonic()
        try:
            self._hands.set_aside(message.receipt.id, None, "a middleware refused the message")
        except Exception as error:
            if not is_outage(error):
                raise
            self._link.lost(f"nack-{self._queue}", error, began)
            raise ConnectionClosed(error) from None
        self._link.answered(f"nack-{self._queue}")
        message.receipt.release()

    def requeue(self, messages: Iterable[dramatiq.MessageProxy]) -> None:
        """Do nothing: messages that no actor has seen are outstanding like the others, and close() hands them all back in order."""

    def close(self) -> None:
        """Hand back everything that is still outstanding. If Redis is away, another worker takes it over later."""
        began = time.monotonic()
        try:
            if not self._broker.deserted.is_set():
                self._hands.give_back_all()
        except Exception as error:
            if not is_outage(error):
                raise
            self._link.lost(self._who, error, began)
            if self._broker.draining.is_set():
                # Asking a frozen Redis for every queue would take longer than the supervisor waits.
                self._broker.deserted.set()
        if self._hands:
            log.warning("queue.not_handed_back", queue=self._queue, messages=len(self._hands))
        self._waiter.close()

    @property
    def outstanding_message_count(self) -> int:
        """How many messages of the queue are this worker's."""
        return len(self._hands)

    # -- Fetching -------------------------------------------------------------------------------------------------------------

    def _take_more(self) -> None:
        if self._broker.draining.is_set():
            for who in (self._who, self._who_waits):
                self._link.retire(who)
            self._broker.draining.wait(0.05)
            time.sleep(0.02)
            return
        if self._broker.gate.is_benched:
            self._broker.draining.wait(BENCHED_SECONDS)
            return
        self._reconcile()
        room = self._wait_for_room()
        if not room:
            return
        if time.monotonic() < self._quiet_until:
            self._wait_for_messages(self._timeout)
            return
        self._began = time.monotonic()
        now, alone, entries = self._fetch(room)
        accepted = (self._hands.accept(entry_id, body, now, deaths) for entry_id, body, deaths in entries)
        # Accept one by one: if one cannot be set aside, those before it are in hand already.
        self._ready.extend(message for message in accepted if message is not None)
        # Report this only now: if Redis serves fetches but refuses to set an entry aside, each turn would log it as back and away again.
        self._link.answered(self._who)
        if alone:
            self._broker.draining.wait(ALONE_SECONDS)
        elif not entries:
            # A job that falls due is pushed to the list (tend.lua), so an idle worker need watch nothing else for a while.
            self._quiet_until = time.monotonic() + LOOK_AGAIN_SECONDS
            self._wait_for_messages(self._timeout)
        elif self._cannot_wait:
            # A full Redis serves the fetch and refuses BLMOVE. Try BLMOVE in a busy queue too, or nobody would notice that Redis is back.
            self._wait_for_messages(MOMENT_SECONDS)

    def _fetch(self, room: int) -> tuple[int, bool, list[tuple[bytes, bytes | int | None, int]]]:
        """Return Redis's time (ms), whether the worker must take nothing else before a suspect, and ids with their messages and deaths.

        An entry that must not be read comes with its size instead of its message.
        """
        keys, queue = self._broker.keys, self._keys
        now, self._waiting, alone, *flat = self._runner.run(
            SCRIPTS["fetch"],
            [
                queue.ready,
                queue.bodies,
                self._hands.acks,
                queue.delayed,
                queue.forward,
                self._hands.epoch_key,
                keys.heartbeats,
                keys.workers,
                queue.deaths,
                keys.suspects,
                *self._all_acks,
            ],
            [
                min(room, FETCH_AT_ONCE),
                FETCH_BYTES,
                LONGEST_ENTRY,
                self._hands.epoch,
                self._broker.broker_id,
                self._broker.about,
                self._queue,
                MOST_DEATHS,
                ALONE_FROM,
            ],
        )
        return int(now), bool(alone), list(zip(flat[::3], flat[1::3], map(int, flat[2::3]), strict=True))

    def _wait_for_messages(self, seconds: float) -> None:
        """Block until the queue has something, or for ``seconds``.

        BLMOVE of the list's head onto itself changes nothing, but blocks while the list is empty. So an idle worker sends one command
        a second, and a new job is picked up at once. https://redis.io/docs/latest/commands/blmove/
        """
        began = time.monotonic()
        try:
            moved: object = self._waiter.execute_command(
                "BLMOVE", self._keys.ready, self._keys.ready, "LEFT", "LEFT", seconds
            )
        except Exception as error:
            if not is_outage(error):
                raise
            if is_replica_now(error):
                self._waiter.connection_pool.disconnect(inuse_connections=False)
            self._cannot_wait = True
            self._quiet_until = 0.0
            time.sleep(self._link.lost(self._who_waits, error, began))
        else:
            if moved is not None:
                self._quiet_until = 0.0
            self._cannot_wait = False
            self._link.answered(self._who_waits)

    def _wait_for_room(self) -> int:
        places = self._broker.places
        room = places.wait_for_room(self._queue, self._waiting, self._timeout)
        worth = places.worth_a_fetch(self._waiting)
        for _ in range(MOMENTS if worth > LEAST_FETCH else 1):
            if not 0 < room < worth or not self._hands:
                break
            time.sleep(MOMENT_SECONDS)
            room = places.room(self._queue, self._waiting)
        return room

    def _reconcile(self) -> None:
        """After Redis was away, put messages back on the queue that are outstanding here by its books, but unknown to this worker."""
        losses = self._link.losses
        if losses == self._losses:
            return
        back = self._hands.give_back_others()
        self._losses = losses
        self._quiet_until = 0.0
        # Do not report recovery yet: a full Redis or a replica answers reads but refuses a fetch.
        if not self._broker.places.room(self._queue, self._waiting):
            self._link.answered(self._who)
        if back:
            log.info("queue.reconciled", queue=self._queue, messages=back)
