"""Backoff: when a job that failed for now is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["RETRY_AFTER_CAP_SECONDS", "Backoff"]

#: A ``Retry-After`` further away than this is taken for a mistake: it would stop the whole account.
RETRY_AFTER_CAP_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ shows why the jitter is full: equal steps keep
    a crowd of retries together.
    """

    #: Bounds in seconds.
    shortest: float
    longest: float

    def seconds(self, attempts: int, retry_after: float | None = None) -> float:
        """How long to wait after ``attempts`` attempts; at least ``retry_after`` where the API said so."""
        ceiling = min(self.longest, self.shortest * 2.0 ** min(attempts, 60))
        wait = random.uniform(self.shortest, max(self.shortest, ceiling))  # noqa: S311 - spreads load, hides nothing
        if retry_after is not None:
            wait = max(wait, min(retry_after, RETRY_AFTER_CAP_SECONDS))
        return wait
