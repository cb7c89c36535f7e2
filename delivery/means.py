"""What all attempts of one event loop work with."""

from __future__ import annotations

from dataclasses import dataclass

from coupontools import Coupontools, CoupontoolsError
from delivery.claim import Claim
from delivery.gate import Gate
from delivery.lease import Lease
from delivery.ledger import Ledger
from delivery.log_line import LogLine
from delivery.policy import Policy
from delivery.retry import Meaning, meaning_of
from delivery.task import Task

__all__ = ["Means"]


@dataclass(frozen=True, slots=True)
class Means:
    """The ledger, the API, the gate, the policy and the log line."""

    ledger: Ledger
    api: Coupontools
    gate: Gate
    policy: Policy
    log_line: LogLine

    def lease(self, task: Task, token: str, *, claimed_at: float, claim: Claim) -> Lease:
        """Return the lease of a claim."""
        return Lease(self.ledger, self.policy, task, token, claimed_at=claimed_at, claim=claim)

    def meaning(self, error: CoupontoolsError, *, effect: bool) -> Meaning:
        """Return what ``error`` means for a call that can change something (``effect``) or that cannot."""
        return meaning_of(error, effect=effect, shortest_pause=self.policy.backoff.shortest)
