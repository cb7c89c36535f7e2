"""One message on its way: the job it asks for and the receipt it is settled by."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from coupontools import Call
from delivery.job import Job

__all__ = ["MOST_DEATHS", "Cost", "Receipt", "Task", "mark_of", "now", "short_digest"]

#: After this many workers have died with a message, it is not carried out any more: it only gets its answer.
MOST_DEATHS = 5
#: How many keys hold the marks of all messages that succeeded. Redis stores a mark in 35 bytes in a hash of up to some hundred fields, but
#: in 180 as a key of its own: so the keys are few enough for ten thousand messages to share them, and many enough for a million.
MARKS = 2048


def now() -> float:
    """Return the seconds of a clock that goes on while the process or the machine sleeps, so that no lease is believed in too long."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@cache
def _holds(scope: str, actor: str) -> frozenset[str]:
    kinds = {f"{each}/{kind}" for each in ("account", scope) for kind in ("paused", "refused")}
    return frozenset(kinds | {"account/asked", "account/outage", f"{scope}/outage/{actor}"})


def mark_of(message_id: str) -> tuple[int, str]:
    """Return where a message is marked that succeeded: in which of MARKS, and the name of its mark there; see marks.lua."""
    digest = hashlib.sha256(message_id.encode()).digest()
    return int.from_bytes(digest[:4]) % MARKS, base64.urlsafe_b64encode(digest[4:12])[:11].decode()


def short_digest(text: str) -> str:
    """Return a digest that keeps texts of users out of key names."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, eq=False)
class Receipt:
    """The id and the keys under which a message is outstanding. The broker hands it over, and only delivery's scripts read it."""

    #: The id under which the message is outstanding.
    id: str
    #: Where this worker's outstanding ids are, and the messages' bodies.
    acks: str
    bodies: str
    #: Where a message waits until it is due.
    delayed: str
    #: Where dead letters go: ids, bodies, reasons.
    dead: str
    dead_bodies: str
    dead_reasons: str
    #: Tells the broker that the message is no longer this worker's.
    release: Callable[[], None]
    #: How many workers have died with the message in hand.
    deaths: int = 0
    #: When the message was enqueued, before any delay of its producer; Unix milliseconds.
    sent: int = 0


@dataclass(slots=True)
class Cost:
    """What one attempt at a job cost; logged at its end."""

    fetched: float = field(default_factory=now)
    api_seconds: float = 0.0
    api_calls: int = 0
    call_began: float = 0.0


@dataclass(slots=True, eq=False)
class Task:
    """A checked job and everything that settles it."""

    job: Job
    receipt: Receipt
    message_id: str
    #: When it was enqueued, or when its delay ended; Unix milliseconds.
    since: int
    queue: str
    #: How long it may wait for an answer, in seconds.
    patience: float
    traceparent: str | None = None
    #: Of a dead letter that was sent again: the message_id it had at first.
    original_id: str | None = None
    #: A digest of what is asked for; if the job could not be checked, of what is wrong with it.
    fingerprint: str = ""
    #: The idempotency key in force, given or derived; None for a job that is carried out by itself.
    key: str | None = None
    cost: Cost = field(default_factory=Cost)
    #: How many attempts have called the API, as of the last claim.
    attempts: int = 0
    #: The key, or a name of its own where there is none; and its digest, which names the ledger's record.
    record_name: str = field(init=False)
    digest: str = field(init=False)
    #: A digest of all that the message asks for, its key included.
    asked: str = field(init=False)
    #: Where the message is marked if it succeeds: one of MARKS, and the name of its mark there.
    marks: int = field(init=False)
    mark: str = field(init=False)

    def __post_init__(self) -> None:
        if not self.fingerprint:
            self.fingerprint, self.key = self.job.fingerprint(), self.job.key
        # A given key is printable, so it can never be this name, which has a line break.
        self.record_name = self.key or f"message\n{self.message_id}"
        self.digest = short_digest(self.record_name)
        self.asked = short_digest(f"{self.record_name}\n{self.fingerprint}")[:20]
        self.marks, self.mark = mark_of(self.message_id)

    @property
    def deadline(self) -> int:
        """The deadline of the message, without what holds add; Unix milliseconds."""
        return self.since + round(self.patience * 1000)

    @property
    def seconds_left(self) -> float:
        """Seconds until that deadline; negative once it has passed."""
        return self.deadline / 1000 - time.time()

    @property
    def about(self) -> str:
        """Name the very call that the task makes. A read is named for what it reads, since each read has a record of its own."""
        job = self.job
        return f"{job.actor}:{self.digest}" if job.effect else f"{job.actor}:{job.scope}:{job.subject}"

    @property
    def holds(self) -> frozenset[str]:
        """The names of the holds that concern the task; see account.lua."""
        return _holds(self.job.scope, self.job.actor)

    @property
    def place(self) -> str:
        """Where in Redis a hold parks the message: with others of its queue and kind of call."""
        return f"{self.queue}|{self.job.scope}/{self.job.actor}"

    @property
    def listing(self) -> str:
        """Name the listing that shows the task's lost call, together with the kind of job: two kinds read one listing differently."""
        return f"{self.job.actor}:{self.job.listing()}" if self.job.effect else "none"

    def call(self, before_send: Callable[[], None] | None = None) -> Call:
        """Return what a call for this task carries beside its arguments."""
        return Call(before_send=before_send, idempotency_key=self.record_name, traceparent=self.traceparent)
