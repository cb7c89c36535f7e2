"""list_contacts: lists the contacts of one group."""

from __future__ import annotations

from typing import ClassVar

from actors.delivery.kind import Kind, Outcome
from actors.jobs import Job, ListContacts
from actors.pages import SpooledPages
from coupontools import Call, Channel, Coupontools

__all__ = ["ListContactsKind"]


class ListContactsKind(Kind[ListContacts]):
    """Lists contacts."""

    job: ClassVar[type[Job]] = ListContacts
    lane = 1

    async def call(self, job: ListContacts, api: Coupontools, call: Call) -> Outcome:
        """Reads the listing as it comes."""
        pages = SpooledPages("contacts")
        try:
            async with api.channel(Channel(job.channel)).list_contacts(job.group_id, call) as listing:
                async for contact in listing:
                    pages.add(
                        {
                            "contact_id": contact.contact_id,
                            "phone": contact.phone,
                            "email": contact.email,
                            "first_name": contact.first_name,
                            "last_name": contact.last_name,
                            "unsubscribed": contact.unsubscribed,
                            "unsubscribed_at": contact.unsubscribed_at,
                        }
                    )
                group_name = listing.group_name
        except BaseException:
            pages.close()
            raise
        pages.common = {"channel": job.channel, "group_id": job.group_id, "group_name": group_name}
        return Outcome("contacts.listed", {}, subject=job.group_id, pages=pages)
