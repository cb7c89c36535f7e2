"""list_groups: lists the SMS or email groups."""

from __future__ import annotations

from typing import ClassVar

from actors.arguments import ChannelName
from actors.event_data import ONE_PAGE, Data, Page
from actors.job import Job
from actors.pages import SpooledPages, extent
from coupontools import Call, Channel, Coupontools
from delivery import Outcome

__all__ = ["ListGroups"]


class ListedGroup(Data):
    """One group of a listing."""

    group_id: str
    name: str


class GroupsListed(Page):
    """One page of list_groups."""

    examples: ClassVar = [
        {"channel": "sms", **ONE_PAGE, "groups": [{"group_id": "gro_119251", "name": "Pizza lovers"}]}
    ]

    groups: list[ListedGroup]


class ListGroups(Job):
    """Lists the SMS or email groups."""

    examples: ClassVar = [{"channel": "sms"}]

    actor = "list_groups"
    queue = "reads"
    succeeds: ClassVar = {"groups.listed": GroupsListed}
    failed = "groups.failed"
    # A remembered listing would be out of date.
    derives_key = False

    channel: ChannelName

    async def call(self, api: Coupontools, call: Call) -> Outcome:
        """Read the listing as it comes."""
        with SpooledPages.unless_it_fails("groups") as pages:
            async with api.channel(Channel(self.channel)).list_groups(call) as listing:
                async for group in listing:
                    pages.add({"group_id": group.group_id, "name": group.name})
            pages.common = {"channel": self.channel, **extent(listing)}
        return Outcome("groups.listed", {}, pages=pages)
