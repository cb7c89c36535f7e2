"""create_group: creates an SMS or email group. Read back by name, among groups that were not there before the call."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from actors.delivery.kind import Kind, Outcome, ReadBack, Unknown, Verdict
from actors.jobs import CreateGroup, Job
from coupontools import Call, Channel, Coupontools

__all__ = ["CreateGroupKind"]

#: Stands in a baseline for the ids that the API counted but did not list; no group has this id.
AND_OTHERS = "*"


class CreateGroupKind(Kind[CreateGroup]):
    """Creates a group.

    Names need not be unique at the API, so a group of the right name may be anybody's. Three things tell: one job at a
    time may create a group of one name; the ids of that name which stood before its first call are noted; and ids that
    became some job's answer are remembered.
    """

    job: ClassVar[type[Job]] = CreateGroup
    effect = True
    named = True
    lane = 2

    async def call(self, job: CreateGroup, api: Coupontools, call: Call) -> Outcome:
        """Creates the group once."""
        group = await api.channel(Channel(job.channel)).create_group(job.name, call)
        return self._outcome(job, group.group_id)

    def listing(self, job: CreateGroup) -> str:
        """The channel's groups."""
        return f"groups:{job.channel}"

    def needle(self, job: CreateGroup) -> str:
        """The group's name."""
        return job.name

    def name(self, job: CreateGroup) -> str:
        """Jobs of one name in one channel go one after the other."""
        return job.name

    async def baseline(self, job: CreateGroup, api: Coupontools, call: Call) -> list[str]:
        """The ids of groups that have this name already; with a mark where not all groups were listed."""
        async with api.channel(Channel(job.channel)).list_groups(call) as listing:
            ids = [group.group_id async for group in listing if _shown(group.name) == _shown(job.name)]
            return ids if listing.complete else [*ids, AND_OTHERS]

    async def read_back(
        self, job: CreateGroup, api: Coupontools, call: Call, unknowns: list[Unknown], ledger: ReadBack
    ) -> AsyncIterator[Verdict]:
        """Looks for each unknown group by name: the one id that is neither older than the call nor another job's."""
        names = {_shown(unknown.needle) for unknown in unknowns}
        ids: dict[str, set[str]] = defaultdict(set)
        async with api.channel(Channel(job.channel)).list_groups(call) as listing:
            async for group in listing:
                if (name := _shown(group.name)) in names:
                    ids[name].add(group.group_id)
            complete = listing.complete
        for unknown in unknowns:
            candidates = ids[_shown(unknown.needle)].difference(unknown.baseline)
            if candidates:
                candidates -= await ledger.claimed(job.channel, unknown.needle)
            if not complete or (candidates and AND_OTHERS in unknown.baseline):
                # The group, or an older one of its name, may be among those that the API counts but does not list.
                yield Verdict(unknown, "undecided")
            elif len(candidates) == 1:
                yield Verdict(unknown, "found", {"group_id": candidates.pop()})
            else:
                # Two new groups of one name: somebody else made one, and nobody can tell which.
                yield Verdict(unknown, "undecided" if candidates else "absent")

    def found(self, job: CreateGroup, evidence: dict[str, Any]) -> Outcome:
        """The group that was found."""
        return self._outcome(job, evidence["group_id"])

    @staticmethod
    def _outcome(job: CreateGroup, group_id: str) -> Outcome:
        data = {"channel": job.channel, "group_id": group_id, "name": job.name}
        return Outcome("group.created", data, subject=group_id, claims=group_id)


def _shown(name: str) -> str:
    # As web applications show names, "&" may come back as "&amp;".
    return html.unescape(name).strip()
