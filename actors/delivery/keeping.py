"""A listing may take longer than a lease: while it goes on, so does the lease; until the job's deadline, not for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from actors.delivery.calling import Lease, LeaseLost
from actors.delivery.ledger import Ledger
from actors.delivery.policy import Policy
from actors.delivery.task import Task, now

__all__ = ["Keeper", "OutOfTime"]

log = structlog.get_logger("actors.delivery")


class OutOfTime(Exception):  # noqa: N818 - named for what happened
    """The job's deadline passed while a listing went on: it changed nothing, and can be given up."""


class Keeper:
    """Keeps leases, and the right to list a scope, while listings are read."""

    def __init__(self, ledger: Ledger, policy: Policy) -> None:
        self._ledger = ledger
        self._cover = policy.cover

    @asynccontextmanager
    async def kept(self, task: Task, token: str, lease: Lease | None = None) -> AsyncIterator[None]:
        """While this lasts, ``lease`` is renewed in time.

        Raises:
            LeaseLost: somebody else has it.
            OutOfTime: the deadline passed; though no listing is cut off before it took as long as a call may.
        """
        patience = max(task.deadline / 1000 - time.time(), self._cover)
        lost = asyncio.Event()
        try:
            async with asyncio.timeout(patience) as limit:
                keeping = asyncio.create_task(self._keep(task, token, lease, limit, lost))
                try:
                    yield
                finally:
                    keeping.cancel()
                    await asyncio.wait([keeping])
                    if not keeping.cancelled() and (error := keeping.exception()):
                        log.error("lease.not_kept", message_id=task.message_id, exc_info=error)
        except TimeoutError:
            if not limit.expired():
                raise
            raise (LeaseLost if lost.is_set() else OutOfTime) from None

    async def _keep(
        self, task: Task, token: str, lease: Lease | None, limit: asyncio.Timeout, lost: asyncio.Event
    ) -> None:
        while True:
            # Twice in vain, Redis being slow, and it still stands.
            await asyncio.sleep(self._cover / 3)
            asked_at = now()
            renewed = await self._ledger.keep(task, token)
            if not renewed:
                lost.set()
                limit.reschedule(asyncio.get_running_loop().time())
                return
            if lease:
                lease.renew(asked_at, renewed)
