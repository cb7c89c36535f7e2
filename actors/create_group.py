"""create_group: creates an SMS or email group. Read back by name, among groups that were not there before the call."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, ClassVar, Literal

from actors.arguments import ChannelName, GroupName
from actors.event_data import Answer
from actors.job import Job
from coupontools import Call, Channel, Coupontools
from delivery import ClaimedIds, Outcome, Unknown, Verdict

__all__ = ["CreateGroup"]

#: Stands in a baseline for the ids that the API counted but did not list; no group has this id.
AND_OTHERS = "*"


class GroupCreated(Answer):
    """create_group succeeded."""

    channel: Literal["sms", "email"]
    group_id: str
    name: str


class CreateGroup(Job):
    """Creates an SMS or email group."""

    # Names need not be unique at the API, so a group of the right name may be anybody's. Three things tell: one job at a
    # time may create a group of one name; the ids of that name which stood before its first call are noted; and ids that
    # became some job's answer are remembered.

    actor = "create_group"
    queue = "groups"
    succeeds: ClassVar = {"group.created": GroupCreated}
    failed = "group.failed"
    effect = True
    named = True

    channel: ChannelName
    name: GroupName

    async def call(self, api: Coupontools, call: Call) -> Outcome:
        """Create the group once."""
        group = await api.channel(Channel(self.channel)).create_group(self.name, call)
        return self._created(group.group_id)

    def listing(self) -> str:
        """The channel's groups."""
        return f"groups:{self.channel}"

    def needle(self) -> str:
        """The group's name."""
        return self.name

    def taken_name(self) -> str:
        """Jobs of one name in one channel go one after the other."""
        return self.name

    async def baseline(self, api: Coupontools, call: Call) -> list[str]:
        """The ids of groups that have this name already; with a mark where not all groups were listed."""
        async with api.channel(Channel(self.channel)).list_groups(call) as listing:
            ids = [group.group_id async for group in listing if _shown(group.name) == _shown(self.name)]
            return ids if listing.complete else [*ids, AND_OTHERS]

    async def read_back(
        self, api: Coupontools, call: Call, unknowns: list[Unknown], ids: ClaimedIds
    ) -> AsyncIterator[Verdict]:
        """Look for each unknown group by name: the one id that is neither older than the call nor another job's."""
        names = {_shown(unknown.needle) for unknown in unknowns}
        listed: dict[str, set[str]] = defaultdict(set)
        async with api.channel(Channel(self.channel)).list_groups(call) as listing:
            async for group in listing:
                if (name := _shown(group.name)) in names:
                    listed[name].add(group.group_id)
            complete = listing.complete
        for unknown in unknowns:
            candidates = listed[_shown(unknown.needle)].difference(unknown.baseline)
            if candidates:
                candidates -= await ids.claimed(self.channel, unknown.needle)
            if not complete or (candidates and AND_OTHERS in unknown.baseline):
                # The group, or an older one of its name, may be among those that the API counts but does not list.
                yield Verdict(unknown, "undecided")
            elif len(candidates) == 1:
                yield Verdict(unknown, "found", {"group_id": candidates.pop()})
            else:
                # Two new groups of one name: somebody else made one, and nobody can tell which.
                yield Verdict(unknown, "undecided" if candidates else "absent")

    def found(self, evidence: dict[str, Any]) -> Outcome:
        """The group that was found."""
        return self._created(evidence["group_id"])

    def _created(self, group_id: str) -> Outcome:
        data = {"channel": self.channel, "group_id": group_id, "name": self.name}
        return Outcome("group.created", data, subject=group_id, claims=group_id)


def _shown(name: str) -> str:
    # As web applications show names, "&" may come back as "&amp;".
    return html.unescape(name).strip()
