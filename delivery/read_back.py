"""Reading back: one listing gives verdicts on all jobs that wait for it because the answers of their calls were lost."""

from __future__ import annotations

from dataclasses import replace

from coupontools import Call, Coupontools
from delivery.job import Unknown, Verdict
from delivery.ledger import Ledger
from delivery.policy import Policy
from delivery.retry import Rests
from delivery.task import Task

__all__ = ["MOST_IDS", "ReadBack"]

#: How many messages a log line names.
MOST_IDS = 100
#: The first answer about another contact or group may be a left-over one. From this number on, the API seems to add what was asked for
#: under another number or name, where no listing shows it: each further call would add it once more.
ANSWERS_ABOUT_ANOTHER = 2
ABOUT_ANOTHER = (
    "the API answered twice about another group, number, address or name than was asked for, and the listing does not show what was asked "
    "for; another call could add it once more"
)


class ReadBack:
    """Reads one listing for a claim that has the reader lock, and writes the verdicts."""

    def __init__(self, ledger: Ledger, api: Coupontools, policy: Policy, task: Task, token: str) -> None:
        self._ledger = ledger
        self._api = api
        self._policy = policy
        self._rests = Rests.of(policy.read_back_after, policy.backoff)
        self._task = task
        self._token = token
        self._began = 0
        self._waiting: list[Unknown] = []

    async def find_waiting(self) -> None:
        """Find the records that wait for the listing, before it begins; only they get verdicts."""
        self._began, self._waiting = await self._ledger.unknowns.of(self._task.listing)

    async def read(self, call: Call) -> list[Verdict]:
        """Read the listing once. Return its verdicts on the records that wait for it.

        Raises:
            CoupontoolsError: the listing could not be read; there are no verdicts, and all records go on waiting.
        """
        return [
            self._patient(verdict, self._began)
            async for verdict in self._task.job.read_back(
                self._api, call, self._waiting, self._ledger.unknowns
            )
            if verdict.unknown.due or verdict.word == "found"
        ]

    async def tell(self, verdicts: list[Verdict]) -> list[Verdict]:
        """Write the verdicts. Return those that decide something."""
        await self._judge(verdicts, self._rests)
        return [verdict for verdict in verdicts if verdict.word != "undecided"]

    @property
    def message_ids(self) -> list[str]:
        """The ids of the first messages that wait for the listing."""
        return [unknown.message_id for unknown in self._waiting[:MOST_IDS]]

    async def give_up(self, lost_at: int | None, retry_after: float | None = None, why: str = "") -> None:
        """Give up a listing that showed nothing: leave the task's own record undecided, if its call was lost at ``lost_at``.

        ``retry_after`` is for how many seconds the API asked to leave this listing alone; ``why`` is what was wrong with it.
        """
        own = [] if lost_at is None else [Unknown(self._ledger.record(self._task), lost_at, "", ())]
        asked = self._policy.backoff.at_most(retry_after)
        rests = replace(self._rests, rest=max(self._rests.rest, asked), again=max(self._rests.again, asked))
        evidence = {"why": why} if why else {}
        await self._judge([Verdict(unknown, "undecided", evidence) for unknown in own], rests)

    async def _judge(self, verdicts: list[Verdict], rests: Rests) -> None:
        await self._ledger.unknowns.judge(self._task.listing, self._token, verdicts, rests)

    def _patient(self, verdict: Verdict, began: int) -> Verdict:
        """Make ``absent`` undecided if it does not prove that the call did not happen.

        Either the call ended shortly before the listing began, so that the API may still be working on it; or the API answered twice
        about another contact or group.
        """
        unknown = verdict.unknown
        if verdict.word == "absent" and unknown.another >= ANSWERS_ABOUT_ANOTHER:
            return Verdict(unknown, "undecided", {"why": ABOUT_ANOTHER})
        if verdict.word == "absent" and began < unknown.ended + self._policy.read_back_after * 1000:
            return Verdict(unknown, "undecided")
        return verdict
