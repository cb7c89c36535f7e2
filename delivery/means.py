"""What all attempts of one event loop work with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from coupontools import Coupontools, CoupontoolsError
from delivery.gate import Gate
from delivery.ledger import Ledger
from delivery.log_line import LogLine
from delivery.policy import Policy
from delivery.retry import Meaning, meaning_of

__all__ = ["Means"]


@dataclass(frozen=True, slots=True)
class Means:
    """The ledger, the API, the gate, the policy and the log line."""

    ledger: Ledger
    api: Coupontools
    gate: Gate
    policy: Policy
    log_line: LogLine

    async def take_slot(self, lane: str) -> None:
        """Reserve a slot of the account's pace for a call that has none from a claim, and wait for it."""
        reserved = not self.policy.interval_us
        while not reserved:
            wait, reserved = await self.ledger.reserve(lane, self.gate.waiting_lanes)
            await asyncio.sleep(wait / 1000)

    def meaning(self, error: CoupontoolsError, *, effect: bool) -> Meaning:
        """Return what ``error`` means for a call that can change something (``effect``) or that cannot."""
        return meaning_of(error, effect=effect, shortest_pause=self.policy.backoff.shortest)
