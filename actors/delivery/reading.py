"""Reading back: one listing tells of every job of its scope whose answer was lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from actors.delivery.kind import Unknown, Verdict
from actors.delivery.ledger import Ledger, listing_of
from actors.delivery.policy import Policy
from actors.delivery.task import Task
from coupontools import Call, Coupontools

__all__ = ["Reader"]


class Reader:
    """Reads listings back for the ledger."""

    def __init__(self, ledger: Ledger, api: Coupontools, policy: Policy) -> None:
        self._ledger = ledger
        self._api = api
        self._policy = policy

    async def read_back(self, task: Task, token: str, pace: Callable[[], Awaitable[Call]]) -> int:
        """Lists the scope of ``task`` once and writes what it tells of all who wait for it. Answers how many could be told.

        Raises:
            CoupontoolsError: the listing could not be read; nothing is known, all go on waiting.
        """
        listing = listing_of(task)
        call = await pace()
        began, unknowns = await self._ledger.unknowns(listing)
        verdicts = [
            self._patient(verdict, began)
            async for verdict in task.kind.read_back(task.job, self._api, call, unknowns, self._ledger)
        ]
        await self.tell(task, token, verdicts)
        return sum(verdict.word != "undecided" for verdict in verdicts)

    async def tell(self, task: Task, token: str, verdicts: list[Verdict]) -> None:
        """Writes verdicts, and lets the next listing of this scope begin a while later."""
        policy = self._policy
        await self._ledger.judge(
            listing_of(task),
            token,
            verdicts,
            # Answers are lost in bursts: a rest between two listings lets one serve the burst.
            rest=max(0.5, policy.read_back_after / 3),
            again=max(policy.read_back_after, policy.backoff.shortest),
            seldom=policy.backoff.longest,
        )

    async def give_up(self, task: Task, token: str) -> None:
        """Nothing could be read: those who wait ask again later, this record among them."""
        _, unknowns = await self._ledger.unknowns(listing_of(task))
        record = self._ledger.record(task)
        await self.tell(task, token, [Verdict(u, "undecided") for u in unknowns if u.record == record])

    def _patient(self, verdict: Verdict, began: int) -> Verdict:
        """What is not there yet may still come: the API may be working on a call that ended a moment before the listing began."""
        unknown: Unknown = verdict.unknown
        if verdict.word == "absent" and began < unknown.ended + self._policy.read_back_after * 1000:
            return Verdict(unknown, "undecided")
        return verdict
