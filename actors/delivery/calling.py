"""One call at the API: waits for its slot, makes sure that the lease covers it, and measures it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from actors.delivery.ledger import Ledger
from actors.delivery.policy import Policy
from actors.delivery.task import Task, now
from coupontools import Call

__all__ = ["Lease", "LeaseLost", "Slots", "measured"]


class LeaseLost(Exception):  # noqa: N818 - named for what happened
    """The lease does not cover the call any more: hands off, nothing was sent."""


class Lease:
    """Until when this worker may let bytes leave, and whether any did.

    It is checked after the connection stands and just before the first byte: a worker that was frozen in between must not send what
    its successor may be sending.
    """

    def __init__(self, policy: Policy, claimed_at: float, milliseconds: float) -> None:
        self._timeout = policy.timeout
        self._ends = claimed_at + milliseconds / 1000
        self.departed = False

    def renew(self, asked_at: float, milliseconds: float) -> None:
        """The lease was started anew."""
        self._ends = asked_at + milliseconds / 1000

    def guard(self) -> None:
        """Marks that bytes leave now.

        Raises:
            LeaseLost: the lease would end before the call must.
        """
        if now() + self._timeout > self._ends:
            raise LeaseLost
        self.departed = True


class Slots:
    """Slots of the account's pace for calls that are no job's own."""

    def __init__(self, ledger: Ledger, policy: Policy) -> None:
        self._ledger = ledger
        self._paced = policy.interval_us > 0

    async def wait(self, milliseconds: float) -> None:
        """Sleeps until a slot that is reserved."""
        if milliseconds > 0:
            await asyncio.sleep(milliseconds / 1000)

    async def take(self) -> None:
        """Reserves a slot and waits for it."""
        if not self._paced:
            return
        while True:
            wait, reserved = await self._ledger.reserve()
            await self.wait(wait)
            if reserved:
                return


@asynccontextmanager
async def measured(task: Task) -> AsyncIterator[None]:
    """Counts a call and its time."""
    task.cost.call_began = now()
    task.cost.api_calls += 1
    try:
        yield
    finally:
        task.cost.api_seconds += now() - task.cost.call_began


def call_of(task: Task, before_send: Callable[[], None] | None = None) -> Call:
    """The extras of a call for this task."""
    return Call(before_send=before_send, idempotency_key=task.record_name, traceparent=task.traceparent)
