"""Reading back: one listing tells of every job that waits for it because its call's answer was lost."""

from __future__ import annotations

from dataclasses import replace

from coupontools import Call, Coupontools
from delivery.job import Unknown, Verdict
from delivery.ledger import Ledger
from delivery.policy import Policy
from delivery.retry import Rests
from delivery.task import Task

__all__ = ["MOST_IDS", "ReadBack"]

#: A log line names so many messages.
MOST_IDS = 100


class ReadBack:
    """Reads one listing for a claim that has the right to, and writes what it tells."""

    def __init__(self, ledger: Ledger, api: Coupontools, policy: Policy, task: Task, token: str) -> None:
        self._ledger = ledger
        self._api = api
        self._policy = policy
        self._task = task
        self._token = token
        self._began = 0
        self._waiting: list[Unknown] = []

    async def find_waiting(self) -> None:
        """Find all who wait for the listing; those alone are told of that waited before it began."""
        self._began, self._waiting = await self._ledger.unknowns.of(self._task.listing)

    async def read(self, call: Call) -> list[Verdict]:
        """Read the listing once. Return what it tells of all who wait for it.

        Raises:
            CoupontoolsError: the listing could not be read; nothing is known, all go on waiting.
        """
        return [
            self._patient(verdict, self._began)
            async for verdict in self._task.job.read_back(
                self._api, call, self._waiting, self._ledger.unknowns
            )
            if verdict.unknown.due or verdict.word == "found"
        ]

    async def tell(self, verdicts: list[Verdict]) -> list[Verdict]:
        """Write what the listing told. Return the verdicts that decide something."""
        await self._judge(verdicts, self._policy.rests)
        return [verdict for verdict in verdicts if verdict.word != "undecided"]

    @property
    def message_ids(self) -> list[str]:
        """The first of those who wait for the listing."""
        return [unknown.message_id for unknown in self._waiting[:MOST_IDS]]

    async def give_up(self, lost_at: int | None, retry_after: float | None = None, why: str = "") -> None:
        """The listing told nothing: the task's own record, if its call was lost at ``lost_at``, asks again later, as do the others.

        ``retry_after`` is how long the API asked to leave this listing alone, in seconds; ``why`` is what was wrong with it.
        """
        own = [] if lost_at is None else [Unknown(self._ledger.record(self._task), lost_at, "", ())]
        rests = self._policy.rests
        asked = self._policy.backoff.at_most(retry_after)
        rests = replace(rests, rest=max(rests.rest, asked), again=max(rests.again, asked))
        evidence = {"why": why} if why else {}
        await self._judge([Verdict(unknown, "undecided", evidence) for unknown in own], rests)

    async def _judge(self, verdicts: list[Verdict], rests: Rests) -> None:
        await self._ledger.unknowns.judge(self._task.listing, self._token, verdicts, rests)

    def _patient(self, verdict: Verdict, began: int) -> Verdict:
        """What is not there yet may still come: the API may be working on a call that ended a moment before the listing began."""
        unknown = verdict.unknown
        if verdict.word == "absent" and began < unknown.ended + self._policy.read_back_after * 1000:
            return Verdict(unknown, "undecided")
        return verdict
