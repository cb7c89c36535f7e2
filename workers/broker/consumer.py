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
from delivery import Receipt, rejection
from workers.broker.entries import DurableMessage, Unreadable, read_entry
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
#: While the window is fuller than this share, wait a moment for more room rather than fetch one by one.
ROOM_WORTH_A_FETCH = 0.125
MOMENT_SECONDS = 0.005
#: How often a worker that may not call looks whether it may.
BENCHED_SECONDS = 0.1


class Home(Protocol):
    """What a consumer needs of its broker."""

    broker_id: str
    keys: Keys
    link: Link
    events_maxlen: int
    #: Each known actor's queues.
    homes: dict[str, tuple[str, ...]]
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

    def rejection(self, body: bytes | None, reason: str) -> str:
        """Return why an entry was set aside, for `dead list`."""


class DurableConsumer(Consumer):
    """One queue's consumer.

    A message stays outstanding until delivery settles it; Dramatiq's own acknowledgement after the actor's return does nothing.
    Only one thread iterates; receipts are released from any.
    """

    def __init__(self, broker: Home, queue_name: str, window: int, timeout: float) -> None:
        self._broker = broker
        self._queue = queue_name
        self._keys = broker.keys.queue(queue_name)
        self._acks = broker.keys.acks(broker.broker_id, queue_name)
        self._window = window
        self._timeout = timeout
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
        self._room = threading.Condition()

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
                self._hand_back(list(self._held.values()))
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
        self._began = time.monotonic()
        now, entries = self._fetch(room)
        for entry_id, body in entries:
            # What is no UTF-8 keeps a name of its own, by which its event is told from others.
            self._accept(entry_id.decode("utf-8", "backslashreplace"), entry_id, body, now)
        # Not sooner: where Redis serves fetches but refuses to set an entry aside, it would be told as back and away at each turn.
        self._link.answered(self._who)
        if not entries:
            self._wait_for_messages(self._timeout)
            return
        if self._cannot_wait:
            # A Redis out of memory serves one and refuses the other; whether it is back shows here even in a busy queue.
            self._wait_for_messages(MOMENT_SECONDS)

    def _fetch(self, room: int) -> tuple[int, list[tuple[bytes, bytes | int | None]]]:
        """Redis's time in milliseconds, and ids with their messages; of one that is too long, with its size."""
        keys = [self._keys.ready, self._keys.bodies, self._acks, self._keys.delayed, self._keys.forward]
        limits = [min(room, FETCH_AT_ONCE), FETCH_BYTES, LONGEST_ENTRY]
        now, *flat = self._runner.run(SCRIPTS["fetch"], keys, limits)
        return int(now), list(zip(flat[::2], flat[1::2], strict=True))

    def _wait_for_messages(self, seconds: float) -> None:
        """Block until the queue has something, or for a while.

        Moving the head onto itself changes nothing, but waits for there to be one; so an idle worker needs a command a second, and
        a new job is picked up at once. https://redis.io/docs/latest/commands/blmove/
        """
        began = time.monotonic()
        try:
            self._waiter.execute_command(
                "BLMOVE", self._keys.ready, self._keys.ready, "LEFT", "LEFT", seconds
            )
        except Exception as error:
            if not is_outage(error):
                raise
            if is_replica_now(error):
                self._waiter.connection_pool.disconnect(inuse_connections=False)
            self._cannot_wait = True
            time.sleep(self._link.lost(self._who_waits, error, began))
        else:
            self._cannot_wait = False
            self._link.answered(self._who_waits)

    def _wait_for_room(self) -> int:
        with self._room:
            self._room.wait_for(lambda: len(self._held) < self._window, timeout=self._timeout)
            room = self._window - len(self._held)
        if 0 < room < self._window * ROOM_WORTH_A_FETCH:
            time.sleep(MOMENT_SECONDS)
            room = self._window - len(self._held)
        return max(0, room)

    def _reconcile(self) -> None:
        """After Redis was away: what is outstanding in its books but unknown here goes back to the queue."""
        losses = self._link.losses
        if losses == self._losses:
            return
        keys = [self._keys.ready, self._keys.bodies, self._acks]
        with self._room:
            held = list(self._held)
        back = self._runner.run(SCRIPTS["hand_back"], keys, ["others", *held])
        self._losses = losses
        # Do not report recovery yet: a full Redis or a replica answers reads but refuses a fetch.
        if len(self._held) >= self._window:
            self._link.answered(self._who)
        if back:
            log.info("queue.reconciled", queue=self._queue, messages=back)

    def _accept(self, name: str, entry_id: bytes, body: bytes | int | None, now: int) -> None:
        try:
            if name.encode() != entry_id:
                raise Unreadable("the id is not UTF-8")
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
        )
        with self._room:
            self._held[name] = receipt
        self._ready.append(DurableMessage(message, receipt))

    # -- Letting go -----------------------------------------------------------------------------------------------------------

    def _release(self, receipt: Receipt) -> None:
        with self._room:
            # A message that was put off may have been fetched again already, under another receipt.
            if self._held.get(receipt.id) is receipt:
                del self._held[receipt.id]
            self._room.notify()

    def _hand_back(self, receipts: list[Receipt]) -> None:
        if not receipts:
            return
        keys = [self._keys.ready, self._keys.bodies, self._acks]
        self._runner.run(SCRIPTS["hand_back"], keys, ["these", *(receipt.id for receipt in receipts)])
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
