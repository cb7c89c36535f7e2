"""The messages of one queue that one process has in hand: each from its fetch until its receipt is released."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import orjson
import redis
import structlog

from config.keys import Keys
from delivery import MOST_DEATHS, Failure, Gate, Receipt, dead_reason, rejection
from workers.broker.entries import DurableMessage, Unreadable, read_entry, reply_of
from workers.broker.places import Places
from workers.broker.scripts import SCRIPTS
from workers.redis_link import Link, ThreadRunner

__all__ = ["ALONE_FROM", "LONGEST_ENTRY", "Hands", "Home"]

log = structlog.get_logger("workers.broker")

#: A longer entry is no job, and is not even read: one of 61 MiB would kill a worker with a memory limit, again and again.
LONGEST_ENTRY = 1 << 20
#: A message with which this many workers have died is tried alone.
ALONE_FROM = 3


class Home(Protocol):
    """What a consumer needs from its broker."""

    broker_id: str
    #: This worker's description of itself in Redis, as JSON.
    about: bytes
    keys: Keys
    link: Link
    events_maxlen: int
    #: Each known actor's queues.
    homes: dict[str, tuple[str, ...]]
    places: Places
    #: Called with the queue of each entry that was set aside.
    on_set_aside: Callable[[str], None]
    gate: Gate
    #: Numbers for fetches, each larger than all that this process got before.
    epochs: Iterator[int]
    #: `draining` is set when this worker stops; `deserted` when Redis goes away meanwhile, so that nothing can be handed back any more.
    draining: threading.Event
    deserted: threading.Event

    @property
    def client(self) -> redis.Redis:
        """A client that threads may share."""

    def waiting_client(self) -> redis.Redis:
        """Return a client for one thread that waits in Redis for messages."""

    def get_declared_queues(self) -> set[str]:
        """Return the names of all queues."""


class Hands:
    """The messages of one queue that are this worker's. One thread takes them; any thread may release a receipt."""

    def __init__(self, home: Home, queue: str) -> None:
        self._home = home
        self._queue = queue
        self._keys = home.keys.queue(queue)
        self._runner = ThreadRunner(home.client)
        self._held: dict[str, Receipt] = {}
        self._lock = threading.Lock()
        #: The key of the set of their ids.
        self.acks = home.keys.acks(home.broker_id, queue)
        #: The number that this consumer's fetches carry, and the key of the lowest number with which a fetch takes anything.
        self.epoch = next(home.epochs)
        self.epoch_key = home.keys.epoch(home.broker_id, queue)

    def __len__(self) -> int:
        return len(self._held)

    def accept(
        self, entry_id: bytes, body: bytes | int | None, now: int, deaths: int = 0
    ) -> DurableMessage | None:
        """Return the message of an entry fetched at ``now`` (ms); None if the entry is no job or not due yet: it is no longer in hand then.

        ``body`` is the entry's size if it must not be read; ``deaths`` is how many workers have died with it.
        """
        # An id that is not UTF-8 still gets a name of its own, which tells its event from others.
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
        # Remove the eta: Dramatiq would put the message into a queue in memory, and enqueue a copy of it.
        due = int(message.options.pop("eta", 0))
        # Compare with Redis's clock, which released the message: a local clock that is behind would send it back again and again.
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
        # Judge by the deaths: a fetch that finds a suspect may also bring messages with fewer deaths, which are tried with the others.
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
        """Hand back the messages that are outstanding here by Redis's books, but unknown to this process. Return how many."""
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
        """Hand back, and raise the epoch: a fetch that was sent before this but arrives after it takes nothing."""
        self.epoch = next(self._home.epochs)
        keys = [self._keys.ready, self._keys.bodies, self.acks, self.epoch_key]
        return int(self._runner.run(SCRIPTS["hand_back"], keys, [which, self.epoch, *ids]))

    def set_aside(self, entry_id: str | bytes, body: bytes | None, reason: str) -> None:
        """Answer an entry that is no readable job, on its reply list too if it names one, and keep it as a dead letter."""
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
            [entry_id, _reason_of(body, reason), kind, event, self._home.events_maxlen],
        )
        self._home.on_set_aside(self._queue)
        log.warning("message.rejected", queue=self._queue, redis_message_id=name, reason=reason)


def _reason_of(body: bytes | None, reason: str) -> str:
    """Return, for `dead list`, why an entry was set aside, with its message id and actor where they can be read."""
    try:
        fields = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        fields = None
    told = fields if isinstance(fields, dict) else {}
    message_id = told.get("message_id")
    actor = told.get("actor_name")
    return dead_reason(
        message_id if isinstance(message_id, str) else "",
        actor if isinstance(actor, str) else "",
        Failure("unreadable", reason),
    )
