"""What one process has in hand of one queue: from the fetch that took a message until delivery, or another worker, has it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Protocol

import redis
import structlog

from config.keys import Keys
from delivery import MOST_DEATHS, Receipt, rejection
from workers.broker.entries import DurableMessage, Unreadable, read_entry, reply_of
from workers.broker.places import Places
from workers.broker.scripts import SCRIPTS
from workers.redis_link import Link, ThreadRunner

__all__ = ["ALONE_FROM", "LONGEST_ENTRY", "Hands", "Home"]

log = structlog.get_logger("workers.broker")

#: An entry of more bytes is no job, and is not even read: one of 61 MiB would end a worker whose memory is bounded, again and again.
LONGEST_ENTRY = 1 << 20
#: A message with which so many workers have died is tried alone.
ALONE_FROM = 3


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


class Hands:
    """The messages of one queue that are this worker's. They are taken by one thread; receipts are released from any."""

    def __init__(self, home: Home, queue: str) -> None:
        self._home = home
        self._queue = queue
        self._keys = home.keys.queue(queue)
        self._runner = ThreadRunner(home.client)
        self._held: dict[str, Receipt] = {}
        self._lock = threading.Lock()
        #: The key of their ids.
        self.acks = home.keys.acks(home.broker_id, queue)
        #: The number of this consumer's fetches, and the key of the least that takes anything.
        self.epoch = home.next_epoch()
        self.epoch_key = home.keys.epoch(home.broker_id, queue)

    def __len__(self) -> int:
        return len(self._held)

    def accept(
        self, entry_id: bytes, body: bytes | int | None, now: int, deaths: int = 0
    ) -> DurableMessage | None:
        """Return the message of an entry that was fetched at ``now`` (ms); None when it is none, or not due yet, and has left our hands.

        ``body`` is its size where it is not to be read; ``deaths`` is how many workers have died with it.
        """
        # What is no UTF-8 keeps a name of its own, by which its event is told from others.
        name = entry_id.decode("utf-8", "backslashreplace")
        try:
            if name.encode() != entry_id:
                raise Unreadable("the id is not UTF-8")
            if deaths > MOST_DEATHS:
                raise Unreadable(f"{deaths} workers died while they had this message")
            if isinstance(body, int):
                raise Unreadable(f"the entry has {body:,} bytes; a job has at most {LONGEST_ENTRY:,}")
            message = read_entry(self._queue, name, body, self._home.homes)
        except Unreadable as error:
            self.set_aside(entry_id, None if isinstance(body, int) else body, str(error))
            return None
        # Dramatiq would put a message with an eta into a queue in memory, and enqueue a copy of it.
        due = int(message.options.pop("eta", 0))
        # By Redis's clock, which released it: by a clock behind it, it would go to and fro until this one catches up.
        if due > now:
            self._runner.run(SCRIPTS["postpone"], [self.acks, self._keys.delayed], [name, due])
            return None
        sent = message.message_timestamp
        message = dataclasses.replace(message, message_timestamp=max(sent, due))
        receipt = Receipt(
            id=name,
            acks=self.acks,
            bodies=self._keys.bodies,
            delayed=self._keys.delayed,
            dead=self._keys.dead,
            dead_bodies=self._keys.dead_bodies,
            dead_reasons=self._keys.dead_reasons,
            release=lambda: self._release(receipt),
            deaths=deaths,
            sent=sent,
        )
        # One that has seen fewer deaths may come in the same fetch that finds a suspect, and is tried with the others.
        if deaths >= ALONE_FROM:
            log.warning(
                "message.tried_alone", queue=self._queue, message_id=message.message_id, deaths=deaths
            )
        with self._lock:
            if name not in self._held:
                self._home.places.take(self._queue)
            self._held[name] = receipt
        return DurableMessage(message, receipt)

    def _release(self, receipt: Receipt) -> None:
        with self._lock:
            # A message that was put off may have been fetched again already, under another receipt.
            if self._held.get(receipt.id) is not receipt:
                return
            del self._held[receipt.id]
        self._home.places.leave(self._queue)

    def give_back_others(self) -> int:
        """Hand back what is outstanding in Redis's books but unknown here. Return how many they were."""
        with self._lock:
            held = list(self._held)
        return self._give_back("others", held)

    def give_back_all(self) -> None:
        """Hand back everything."""
        receipts = list(self._held.values())
        self._give_back("all", [receipt.id for receipt in receipts])
        for receipt in receipts:
            receipt.release()

    def _give_back(self, which: str, ids: list[str]) -> int:
        """A fetch that was sent before and comes after takes nothing any more."""
        self.epoch = self._home.next_epoch()
        keys = [self._keys.ready, self._keys.bodies, self.acks, self.epoch_key]
        return int(self._runner.run(SCRIPTS["hand_back"], keys, [which, self.epoch, *ids]))

    def set_aside(self, entry_id: str | bytes, body: bytes | None, reason: str) -> None:
        """Answer an entry that is no readable job, also where somebody waits for its answer, and keep it as a dead letter."""
        name = entry_id.decode("utf-8", "backslashreplace") if isinstance(entry_id, bytes) else entry_id
        kind, event = rejection(self._queue, name, reason, body)
        keys, reply = self._keys, reply_of(body) if body else None
        self._runner.run(
            SCRIPTS["set_aside"],
            [
                self.acks,
                keys.bodies,
                keys.dead,
                keys.dead_bodies,
                keys.dead_reasons,
                self._home.keys.events,
                *([self._home.keys.reply(reply)] if reply else ()),
            ],
            [entry_id, self._home.rejection(body, reason), kind, event, self._home.events_maxlen],
        )
        self._home.on_set_aside(self._queue)
        log.warning("message.rejected", queue=self._queue, redis_message_id=name, reason=reason)
