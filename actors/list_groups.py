"""list_groups: lists the SMS or email groups."""

from __future__ import annotations

from typing import ClassVar

from actors.delivery.kind import Kind, Outcome
from actors.jobs import Job, ListGroups
from actors.pages import SpooledPages
from coupontools import Call, Channel, Coupontools

__all__ = ["ListGroupsKind"]


class ListGroupsKind(Kind[ListGroups]):
    """Lists groups."""

    job: ClassVar[type[Job]] = ListGroups
    lane = 1

    async def call(self, job: ListGroups, api: Coupontools, call: Call) -> Outcome:
        """Reads the listing as it comes."""
        pages = SpooledPages("groups")
        try:
            async with api.channel(Channel(job.channel)).list_groups(call) as listing:
                async for group in listing:
                    pages.add({"group_id": group.group_id, "name": group.name})
        except BaseException:
            pages.close()
            raise
        pages.common = {"channel": job.channel}
        return Outcome("groups.listed", {}, pages=pages)
