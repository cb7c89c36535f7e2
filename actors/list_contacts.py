"""list_contacts: lists the contacts of one group."""

from __future__ import annotations

from typing import ClassVar

from actors.arguments import ChannelName, GroupId
from actors.event_data import ONE_PAGE, Data, Page
from actors.job import Job
from actors.pages import SpooledPages, extent
from coupontools import Call, Channel, Coupontools
from delivery import Outcome

__all__ = ["ListContacts"]


class ListedContact(Data):
    """One contact of a listing."""

    contact_id: str
    phone: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    unsubscribed: bool
    unsubscribed_at: str | None


class ContactsListed(Page):
    """One page of list_contacts."""

    examples: ClassVar = [
        {
            "channel": "sms",
            "group_id": "gro_119251",
            "group_name": "Pizza lovers",
            **ONE_PAGE,
            "contacts": [
                {
                    "contact_id": "con_12345678",
                    "phone": "+32470123456",
                    "email": None,
                    "first_name": "Ada",
                    "last_name": None,
                    "unsubscribed": False,
                    "unsubscribed_at": None,
                }
            ],
        }
    ]

    group_id: str
    group_name: str | None
    contacts: list[ListedContact]


class ListContacts(Job):
    """Lists the contacts of one group."""

    examples: ClassVar = [{"channel": "sms", "group_id": "gro_119251"}]

    actor = "list_contacts"
    queue = "reads"
    succeeds: ClassVar = {"contacts.listed": ContactsListed}
    failed = "contacts.failed"
    # A remembered listing would be out of date.
    derives_key = False

    channel: ChannelName
    group_id: GroupId

    async def call(self, api: Coupontools, call: Call) -> Outcome:
        """Read the listing as it comes."""
        with SpooledPages.unless_it_fails("contacts") as pages:
            async with api.channel(Channel(self.channel)).list_contacts(self.group_id, call) as listing:
                async for contact in listing:
                    pages.add({name: getattr(contact, name) for name in ListedContact.model_fields})
                group_name = listing.group_name
            group = {"group_id": self.group_id, "group_name": group_name}
            pages.common = {"channel": self.channel, **group, **extent(listing)}
        return Outcome("contacts.listed", {}, subject=self.group_id, pages=pages)
