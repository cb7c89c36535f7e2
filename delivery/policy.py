"""The numbers delivery keeps to, from the operator's settings."""

from __future__ import annotations

from dataclasses import dataclass

from config import Settings
from delivery.retry import Backoff, Pause

__all__ = ["UNSETTLED_SECONDS", "Policy"]

#: What a lease adds to the longest call, so that a call that ends at its time limit is still settled under it.
LEASE_MARGIN_SECONDS = 5.0
#: How far ahead of now a slot of the pace may be reserved: this many intervals, within bounds in milliseconds. It is little, since a
#: reserved call goes before any more urgent job that comes later, and is made even if another process has just found the account refused.
HORIZON_INTERVALS = 2
HORIZON_SHORTEST_MS = 20.0
HORIZON_LONGEST_MS = 500.0
#: How late a call may use its slot. Later, it reserves another: else a process that stood still would send all its reserved calls at once.
SLOT_GRACE_SECONDS = 0.1
#: How many intervals an attempt may wait in its place for slots of the pace.
SLOTS_OF_AN_ATTEMPT = 3
#: How long an unsettled record is kept at least: longer than a hold is likely to last.
UNSETTLED_SECONDS = 90 * 86400.0
#: How many calls in a row, over all workers, must fail as in an outage to begin a hold.
OUTAGE_THRESHOLD = 10


@dataclass(frozen=True, slots=True)
class Policy:
    """Every duration in seconds, unless its name says otherwise."""

    timeout: float
    cover: float
    deadline: float
    read_back_after: float
    ttl: float
    rate: float
    backoff: Backoff
    events_maxlen: int
    #: How long a listing may take in all.
    listing_timeout: float = 300.0
    #: Names the secret that this process uses (``Settings.secret_name``).
    secret: str = ""

    @property
    def unsettled(self) -> float:
        """How long an unsettled record is kept after it was last asked for, in seconds."""
        return max(self.ttl, UNSETTLED_SECONDS)

    @property
    def longest_wait(self) -> float:
        """More than the longest time for which a job is ever put off, in seconds."""
        return 2 * max(Pause.asked_longest, self.backoff.longest, self.read_back_after)

    @property
    def longest_attempt(self) -> float:
        """How long an attempt may take, in seconds, if it only waits for the API and the pace: a listing, then a call."""
        return self.listing_timeout + 2 * self.cover + SLOTS_OF_AN_ATTEMPT * self.interval_us / 1_000_000

    @property
    def interval_us(self) -> int:
        """Microseconds between two requests of the account; 0 for no pace."""
        return round(1_000_000 / self.rate) if self.rate else 0

    @property
    def horizon_ms(self) -> float:
        """How far ahead of now a slot may be reserved, in milliseconds."""
        intervals = HORIZON_INTERVALS * self.interval_us / 1000
        return min(HORIZON_LONGEST_MS, max(HORIZON_SHORTEST_MS, intervals))

    @property
    def claims_at_once(self) -> int | None:
        """How many claims of one process may be under way at once; None for as many as there are jobs.

        A claim that comes too early is a round trip for nothing.
        """
        return 1 + int(self.rate / 100) if self.rate else None

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """The policy that these settings ask for."""
        return cls(
            timeout=settings.coupontools_timeout_seconds,
            cover=settings.coupontools_connect_timeout_seconds
            + settings.coupontools_timeout_seconds
            + LEASE_MARGIN_SECONDS,
            deadline=settings.job_deadline_seconds,
            read_back_after=settings.read_back_after_seconds,
            ttl=settings.idempotency_ttl_seconds,
            rate=settings.coupontools_rate_limit,
            backoff=Backoff(settings.retry_min_seconds, settings.retry_max_seconds),
            events_maxlen=settings.events_maxlen,
            listing_timeout=settings.coupontools_listing_timeout_seconds,
            secret=settings.secret_name,
        )
