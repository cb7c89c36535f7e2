"""Takes messages off one queue: waits for room and for messages, and fetches them. What it has taken is in its hands (hands.py)."""

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

#: Ids in one fetch at most: the script runs alone in Redis as long as it takes.
FETCH_AT_ONCE = 256
#: Bytes of messages in one fetch, unless a single one is longer.
FETCH_BYTES = 8 << 20
#: How long to wait for room that is worth a fetch, and how often while there are spare messages in hand: those begin meanwhile.
MOMENT_SECONDS = 0.005
MOMENTS = 4
#: How often a worker that keeps itself free for one message looks whether it may take it.
ALONE_SECONDS = 0.1
#: How long an idle worker only waits for its list to have something, before it looks at all places again, in seconds.
LOOK_AGAIN_SECONDS = 10.0
#: How often a worker that may not call looks whether it may.
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
        #: How many messages waited for each worker at the last fetch.
        self._waiting = 0
        #: Until when its list alone is looked at, since nothing was there.
        self._quiet_until = 0.0
        self._began = 0.0
        self._runner = ThreadRunner(broker.client)
        self._waiter = broker.waiting_client()
        self._link = broker.link
        self._who = f"fetch-{queue_name}"
        self._who_waits = f"wait-{queue_name}"
        self._cannot_wait = False
        #: How many losses there had been when all was put in order last; None until it was, and after a lost answer.
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
                # Whatever the lost answer named is outstanding without being known here.
                time.sleep(self._link.lost(self._who, error, self._began))
                self._losses = None
                self._quiet_until = 0.0
        return self._ready.popleft() if self._ready else None

    def ack(self, message: dramatiq.MessageProxy) -> None:
        """Do nothing: the actor's return is no answer; delivery's settling is."""

    def nack(self, message: dramatiq.MessageProxy) -> None:
        """A middleware has failed the message: set it aside.

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
        """Hand back everything that is still outstanding. Where Redis is away, another worker takes it over."""
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
        if self._broker.is_benched():
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
        # One by one: where one cannot be set aside, those before it are in hand already.
        self._ready.extend(message for message in accepted if message is not None)
        # Not sooner: where Redis serves fetches but refuses to set an entry aside, it would be told as back and away at each turn.
        self._link.answered(self._who)
        if alone:
            self._broker.draining.wait(ALONE_SECONDS)
        elif not entries:
            # What falls due is pushed to the list, so an idle worker need look at nothing else for a while.
            self._quiet_until = time.monotonic() + LOOK_AGAIN_SECONDS
            self._wait_for_messages(self._timeout)
        elif self._cannot_wait:
            # A Redis out of memory serves one and refuses the other; whether it is back shows here even in a busy queue.
            self._wait_for_messages(MOMENT_SECONDS)

    def _fetch(self, room: int) -> tuple[int, bool, list[tuple[bytes, bytes | int | None, int]]]:
        """Redis's time in milliseconds, whether the worker is to take nothing for a suspect's sake, and ids with their messages and deaths.

        An entry that is not to be read comes with its size.
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
        """Block until the queue has something, or for a while.

        Moving the head onto itself changes nothing, but waits for there to be one; so an idle worker needs a command a second, and
        a new job is picked up at once. https://redis.io/docs/latest/commands/blmove/
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
        """After Redis was away: what is outstanding in its books but unknown here goes back to the queue."""
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
