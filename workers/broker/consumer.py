"""Takes messages off one queue, and knows at any time which of them are still this worker's."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

import dramatiq
import redis
import structlog
from dramatiq.broker import Consumer
from dramatiq.errors import ConnectionClosed

from config.keys import Keys
from delivery import MOST_DEATHS, Receipt, rejection
from workers.broker.entries import DurableMessage, Unreadable, read_entry
from workers.broker.places import LEAST_FETCH, Places
from workers.broker.scripts import SCRIPTS
from workers.redis_link import Link, ThreadRunner, is_outage, is_replica_now

__all__ = ["DurableConsumer"]

log = structlog.get_logger("workers.broker")

#: Ids in one fetch at most: the script runs alone in Redis as long as it takes.
FETCH_AT_ONCE = 256
#: Bytes of messages in one fetch, unless a single one is longer.
FETCH_BYTES = 8 << 20
#: An entry of more bytes is no job, and is not even read: one of 61 MiB would end a worker whose memory is bounded, again and again.
LONGEST_ENTRY = 1 << 20
#: How long to wait for room that is worth a fetch, and how often while there are spare messages in hand: those begin meanwhile.
MOMENT_SECONDS = 0.005
MOMENTS = 4
#: A message with which so many workers have died is tried alone.
ALONE_FROM = 3
#: How often a worker that keeps itself free for one message looks whether it may take it.
ALONE_SECONDS = 0.1
#: How long an idle worker only waits for its list to have something, before it looks at all places again, in seconds.
LOOK_AGAIN_SECONDS = 10.0
#: How often a worker that may not call looks whether it may.
BENCHED_SECONDS = 0.1


class Home(Protocol):
    """What a consumer needs of its broker."""

    broker_id: str
    #: What this worker says of itself in Redis.
    about: bytes
    keys: Keys
    link: Link
    events_maxlen: int
    #: Each known actor's queues.
    homes: dict[str, tuple[str, ...]]
    places: Places
    #: Told of the queue of each entry that was set aside.
    on_set_aside: Callable[[str], None]
    #: Asked before each fetch: is this worker to take nothing, because others may call and it may not?
    is_benched: Callable[[], bool]
    #: Set when this worker stops; and when Redis went away meanwhile, so that nothing can be handed back any more.
    draining: threading.Event
    deserted: threading.Event

    @property
    def client(self) -> redis.Redis:
        """A client that threads may share."""

    def waiting_client(self) -> redis.Redis:
        """Return a client for one thread that waits in Redis for messages."""

    def get_declared_queues(self) -> set[str]:
        """Return the names of all queues."""

    def next_epoch(self) -> int:
        """Return a number that is larger than all that this process had before."""

    def rejection(self, body: bytes | None, reason: str) -> str:
        """Return why an entry was set aside, for `dead list`."""


class DurableConsumer(Consumer):
    """One queue's consumer.

    A message stays outstanding until delivery settles it; Dramatiq's own acknowledgement after the actor's return does nothing.
    Only one thread iterates; receipts are released from any.
    """

    def __init__(self, broker: Home, queue_name: str, timeout: float) -> None:
        self._broker = broker
        self._queue = queue_name
        self._keys = broker.keys.queue(queue_name)
        self._acks = broker.keys.acks(broker.broker_id, queue_name)
        self._all_acks = [
            broker.keys.acks(broker.broker_id, each) for each in sorted(broker.get_declared_queues())
        ]
        self._timeout = timeout
        #: The number of its fetches; and how many messages waited for each worker at the last one.
        self._epoch = broker.next_epoch()
        self._waiting = 0
        #: Until when its list alone is looked at, since nothing was there; and is the worker to take nothing for a suspect's sake?
        self._quiet_until = 0.0
        self._alone = False
        self._began = 0.0
        self._runner = ThreadRunner(broker.client)
        self._waiter = broker.waiting_client()
        self._link = broker.link
        self._who = f"fetch-{queue_name}"
        self._who_waits = f"wait-{queue_name}"
        self._cannot_wait = False
        self._losses = -1
        self._ready: deque[DurableMessage] = deque()
        self._held: dict[str, Receipt] = {}
        self._lock = threading.Lock()

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
                self._losses = -1
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
            self._set_aside(message.receipt.id, None, "a middleware refused the message")
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
                self._hand_back()
        except Exception as error:
            if not is_outage(error):
                raise
            self._link.lost(self._who, error, began)
            if self._broker.draining.is_set():
                # Asking a frozen Redis for every queue would take longer than the supervisor waits.
                self._broker.deserted.set()
        if self._held:
            log.warning("queue.not_handed_back", queue=self._queue, messages=len(self._held))
        self._waiter.close()

    @property
    def outstanding_message_count(self) -> int:
        """How many messages of the queue are this worker's."""
        return len(self._held)

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
        now, entries = self._fetch(room)
        for entry_id, body, deaths in entries:
            # What is no UTF-8 keeps a name of its own, by which its event is told from others.
            self._accept(entry_id.decode("utf-8", "backslashreplace"), entry_id, body, now, deaths)
        # Not sooner: where Redis serves fetches but refuses to set an entry aside, it would be told as back and away at each turn.
        self._link.answered(self._who)
        if self._alone:
            self._broker.draining.wait(ALONE_SECONDS)
        elif not entries:
            # What falls due is pushed to the list, so an idle worker need look at nothing else for a while.
            self._quiet_until = time.monotonic() + LOOK_AGAIN_SECONDS
            self._wait_for_messages(self._timeout)
        elif self._cannot_wait:
            # A Redis out of memory serves one and refuses the other; whether it is back shows here even in a busy queue.
            self._wait_for_messages(MOMENT_SECONDS)

    def _fetch(self, room: int) -> tuple[int, list[tuple[bytes, bytes | int | None, int]]]:
        """Redis's time in milliseconds, and ids with their messages and deaths; of one that is not to be read, with its size."""
        keys, queue = self._broker.keys, self._keys
        now, self._waiting, alone, *flat = self._runner.run(
            SCRIPTS["fetch"],
            [
                queue.ready,
                queue.bodies,
                self._acks,
                queue.delayed,
                queue.forward,
                keys.epoch(self._broker.broker_id, self._queue),
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
                self._epoch,
                self._broker.broker_id,
                self._broker.about,
                self._queue,
                MOST_DEATHS,
                ALONE_FROM,
            ],
        )
        self._alone = bool(alone)
        return int(now), list(zip(flat[::3], flat[1::3], map(int, flat[2::3]), strict=True))

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
            if not 0 < room < worth or not self._held:
                break
            time.sleep(MOMENT_SECONDS)
            room = places.room(self._queue, self._waiting)
        return room

    def _reconcile(self) -> None:
        """After Redis was away: what is outstanding in its books but unknown here goes back to the queue."""
        losses = self._link.losses
        if losses == self._losses:
            return
        with self._lock:
            held = list(self._held)
        back = self._give_back("others", held)
        self._losses = losses
        self._quiet_until = 0.0
        # Do not report recovery yet: a full Redis or a replica answers reads but refuses a fetch.
        if not self._broker.places.room(self._queue, self._waiting):
            self._link.answered(self._who)
        if back:
            log.info("queue.reconciled", queue=self._queue, messages=back)

    def _give_back(self, which: str, ids: list[str]) -> int:
        """Hand back messages. A fetch that was sent before and comes after takes nothing any more."""
        self._epoch = self._broker.next_epoch()
        keys = [
            self._keys.ready,
            self._keys.bodies,
            self._acks,
            self._broker.keys.epoch(self._broker.broker_id, self._queue),
        ]
        return int(self._runner.run(SCRIPTS["hand_back"], keys, [which, self._epoch, *ids]))

    def _accept(
        self, name: str, entry_id: bytes, body: bytes | int | None, now: int, deaths: int = 0
    ) -> None:
        try:
            if name.encode() != entry_id:
                raise Unreadable("the id is not UTF-8")
            if deaths > MOST_DEATHS:
                raise Unreadable(f"{deaths} workers died while they had this message")
            if isinstance(body, int):
                raise Unreadable(f"the entry has {body:,} bytes; a job has at most {LONGEST_ENTRY:,}")
            message = read_entry(self._queue, name, body, self._broker.homes)
        except Unreadable as error:
            self._set_aside(entry_id, None if isinstance(body, int) else body, str(error))
            return
        # Dramatiq would put a message with an eta into a queue in memory, and enqueue a copy of it.
        due = int(message.options.pop("eta", 0))
        # By Redis's clock, which released it: by a clock behind it, it would go to and fro until this one catches up.
        if due > now:
            keys = [self._acks, self._keys.delayed]
            self._runner.run(SCRIPTS["postpone"], keys, [name, due])
            return
        message = dataclasses.replace(message, message_timestamp=max(message.message_timestamp, due))
        receipt = Receipt(
            id=name,
            acks=self._acks,
            bodies=self._keys.bodies,
            delayed=self._keys.delayed,
            dead=self._keys.dead,
            dead_bodies=self._keys.dead_bodies,
            dead_reasons=self._keys.dead_reasons,
            release=lambda: self._release(receipt),
            deaths=deaths,
        )
        # One that has seen fewer deaths may come in the same fetch that finds a suspect, and is tried with the others.
        if deaths >= ALONE_FROM:
            log.warning(
                "message.tried_alone", queue=self._queue, message_id=message.message_id, deaths=deaths
            )
        with self._lock:
            if name not in self._held:
                self._broker.places.take(self._queue)
            self._held[name] = receipt
        self._ready.append(DurableMessage(message, receipt))

    # -- Letting go -----------------------------------------------------------------------------------------------------------

    def _release(self, receipt: Receipt) -> None:
        with self._lock:
            # A message that was put off may have been fetched again already, under another receipt.
            if self._held.get(receipt.id) is not receipt:
                return
            del self._held[receipt.id]
        self._broker.places.leave(self._queue)

    def _hand_back(self) -> None:
        receipts = list(self._held.values())
        self._give_back("all", [receipt.id for receipt in receipts])
        for receipt in receipts:
            receipt.release()

    def _set_aside(self, entry_id: str | bytes, body: bytes | None, reason: str) -> None:
        name = entry_id.decode("utf-8", "backslashreplace") if isinstance(entry_id, bytes) else entry_id
        kind, event = rejection(self._queue, name, reason, body)
        keys = self._keys
        self._runner.run(
            SCRIPTS["set_aside"],
            [
                self._acks,
                keys.bodies,
                keys.dead,
                keys.dead_bodies,
                keys.dead_reasons,
                self._broker.keys.events,
            ],
            [entry_id, self._broker.rejection(body, reason), kind, event, self._broker.events_maxlen],
        )
        self._broker.on_set_aside(self._queue)
        log.warning("message.rejected", queue=self._queue, redis_message_id=name, reason=reason)
