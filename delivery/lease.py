"""The lease of a claim: until when its call may be sent, and how it is renewed while a listing is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from delivery.claim import Claim
from delivery.ledger import Ledger
from delivery.policy import SLOT_GRACE_SECONDS, Policy
from delivery.task import Task, now

__all__ = ["Lease", "LeaseLost", "OutOfTime", "Withdrawn"]

log = structlog.get_logger("delivery")


class LeaseLost(Exception):  # noqa: N818 - named for what happened
    """The lease does not cover the call any more: do not send."""


class OutOfTime(Exception):  # noqa: N818 - named for what happened
    """The job's deadline passed during a listing. The listing changes nothing, so it can be given up."""


class Withdrawn(Exception):  # noqa: N818 - named for what happened
    """During a listing, the job was cancelled, a hold began, or the deadline passed: do not send."""


class Lease:
    """The lease of one claim.

    It is checked when the connection is open, just before the first byte: a worker that was frozen until then must not send what
    its successor may be sending.
    """

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        task: Task,
        token: str,
        *,
        claimed_at: float,
        claim: Claim,
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._task = task
        self._token = token
        self._ends = claimed_at + claim.lease / 1000
        self._deadline = claim.deadline
        #: When the claim's slot of the pace is; None without a pace.
        self._slot = claimed_at + claim.wait / 1000 if policy.interval_us else None
        #: Did any byte leave?
        self.departed = False

    @property
    def slot_missed(self) -> bool:
        """Is it too late to use the slot? A process that stood still must not send all its reserved calls at once."""
        return self._slot is not None and now() > self._slot + SLOT_GRACE_SECONDS

    @property
    def _seconds_left(self) -> float:
        """Seconds until the deadline in force, holds included."""
        return self._deadline / 1000 - time.time()

    def guard(self) -> None:
        """Note that bytes leave now.

        Raises:
            LeaseLost: the lease ends before the call's time limit.
        """
        if now() + self._policy.timeout > self._ends:
            raise LeaseLost
        self.departed = True

    async def renew(self, baseline: list[str] | None = None) -> None:
        """Renew the lease, and note ``baseline`` in the same step.

        Raises:
            LeaseLost: neither the record nor the reader lock is this claim's any more.
        """
        asked_at = now()
        milliseconds = await self._ledger.renew(self._task, self._token, baseline)
        if not milliseconds:
            raise LeaseLost
        self._ends = asked_at + milliseconds / 1000

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew the lease in the background while the block runs.

        Raises:
            LeaseLost: a renewal found it lost.
            OutOfTime: the deadline passed; but the block has at least the time of one call.
        """
        lost = asyncio.Event()
        try:
            async with asyncio.timeout(max(self._seconds_left, self._policy.cover)) as limit:
                keeping = asyncio.create_task(self._keep(limit, lost))
                try:
                    yield
                finally:
                    keeping.cancel()
                    await asyncio.wait([keeping])
                    if not keeping.cancelled() and (error := keeping.exception()):
                        log.error("lease.not_kept", message_id=self._task.message_id, exc_info=error)
        except TimeoutError:
            if not limit.expired():
                raise
            raise (LeaseLost if lost.is_set() else OutOfTime) from None

    async def _keep(self, limit: asyncio.Timeout, lost: asyncio.Event) -> None:
        while True:
            # Renew three times per lease, so that two slow renewals in a row do not lose it.
            await asyncio.sleep(self._policy.cover / 3)
            try:
                await self.renew()
            except LeaseLost:
                lost.set()
                limit.reschedule(asyncio.get_running_loop().time())
                return
