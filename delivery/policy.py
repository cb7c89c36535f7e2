"""The numbers delivery keeps to, from the operator's settings."""

from __future__ import annotations

from dataclasses import dataclass

from config import Settings
from delivery.retry import Backoff, Rests

__all__ = ["Policy"]

#: What a lease adds to the longest call, so that a call that ends at its time limit is still settled under it.
LEASE_MARGIN_SECONDS = 5.0
#: How far ahead of now a job may reserve its slot, in milliseconds. What is reserved stands before any later job of greater
#: urgency, and is called though another process has just found the account refused; so imports reserve little.
HORIZON_MS = 100
URGENT_HORIZON_MS = 5000
#: Between the two: what reads back goes a little ahead of imports, and does not stand in the way of webhooks.
LISTING_HORIZON_MS = 500
#: So many calls in a row that fail as in an outage, over all workers, open the breaker.
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

    @property
    def rests(self) -> Rests:
        """The pauses between listings that read back."""
        return Rests.of(self.read_back_after, self.backoff)

    @property
    def interval_us(self) -> int:
        """Microseconds between two requests of the account; 0 for no pace."""
        return round(1_000_000 / self.rate) if self.rate else 0

    @property
    def claims_at_once(self) -> int | None:
        """Claims of one process under way at once; None for as many as there are jobs.

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
        )
