"""One message on its way: the job it asks for and the receipt it is settled by."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

from actors.delivery.kind import Kind
from actors.delivery.receipt import Receipt
from actors.jobs import Job

__all__ = ["Account", "Task", "now", "short_digest"]


def now() -> float:
    """Seconds of a clock that goes on while the process or the machine sleeps, so that a lease is never believed in too long."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def short_digest(text: str) -> str:
    """A digest that keeps texts of users out of key names."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(slots=True)
class Account:
    """What a job's way through one attempt cost; logged at its end."""

    fetched: float = field(default_factory=now)
    api_seconds: float = 0.0
    api_calls: int = 0
    call_began: float = 0.0


@dataclass(slots=True, eq=False)
class Task:
    """A checked job and everything that settles it."""

    kind: Kind[Any]
    job: Job
    receipt: Receipt
    message_id: str
    #: When it was enqueued, or when its delay ended; Unix milliseconds.
    since: int
    queue: str
    #: How long it may wait for an answer, in seconds.
    patience: float
    traceparent: str | None = None
    #: A digest of what is asked for; of a job that could not be checked, what is wrong with it.
    fingerprint: str = ""
    #: The idempotency key in force, given or derived; None for a job that is carried out by itself.
    key: str | None = None
    cost: Account = field(default_factory=Account)

    def __post_init__(self) -> None:
        if not self.fingerprint:
            self.fingerprint, self.key = self.job.fingerprint(), self.job.key

    @property
    def derived(self) -> bool:
        """Was no key given?"""
        return self.job.idempotency_key is None

    @property
    def record_name(self) -> str:
        """The key, or a name of its own where there is none."""
        return self.key or f"message:{self.message_id}"

    @property
    def asked(self) -> str:
        """A digest of all that the message asks for, its key included."""
        return short_digest(f"{self.record_name}\n{self.fingerprint}")[:20]

    @property
    def deadline(self) -> int:
        """When it ends without an answer; Unix milliseconds."""
        return self.since + round(self.patience * 1000)

    @property
    def digest(self) -> str:
        """Names the ledger's record."""
        return short_digest(self.record_name)
