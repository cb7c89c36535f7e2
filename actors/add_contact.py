"""add_contact: adds one contact to an SMS or email group. Read back from the group's listing, by phone or address."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, ClassVar

from actors.delivery.kind import Kind, Outcome, ReadBack, Unknown, Verdict
from actors.jobs import AddContact, Job
from coupontools import Call, Channel, Contact, Coupontools, NewContact, Rejected

__all__ = ["AddContactKind"]

#: The API says that there is no such group; vendor's document, "Possible errors".
GROUP_NOT_FOUND = 514


class AddContactKind(Kind[AddContact]):
    """Adds a contact."""

    job: ClassVar[type[Job]] = AddContact
    effect = True
    conflict = (
        "this contact was added to the group before, with other data, and the API cannot change a contact"
    )
    lane = 3

    async def call(self, job: AddContact, api: Coupontools, call: Call) -> Outcome:
        """Adds the contact once."""
        added = await api.channel(Channel(job.channel)).add_contact(
            NewContact(
                group_id=job.group_id,
                phone=job.phone,
                email=job.email,
                first_name=job.first_name,
                last_name=job.last_name,
                custom_fields=job.custom_fields or {},
            ),
            call,
        )
        return self._outcome(job, added.contact_id)

    def listing(self, job: AddContact) -> str:
        """The group's contacts."""
        return f"contacts:{job.channel}:{job.group_id}"

    def needle(self, job: AddContact) -> str:
        """The phone's digits, or the address in lower case."""
        return _needle(job.phone, job.email)

    async def read_back(
        self, job: AddContact, api: Coupontools, call: Call, unknowns: list[Unknown], ledger: ReadBack
    ) -> AsyncIterator[Verdict]:
        """Looks for every unknown contact of the group in one listing, which is never held in memory."""
        del ledger
        wanted: dict[str, list[Unknown]] = defaultdict(list)
        for unknown in unknowns:
            wanted[unknown.needle].append(unknown)
        told_all = True
        try:
            async with api.channel(Channel(job.channel)).list_contacts(job.group_id, call) as listing:
                async for contact in listing:
                    needle = (
                        _needle(contact.phone, None) if job.channel == "sms" else _needle(None, contact.email)
                    )
                    told_all = told_all and bool(needle)
                    for unknown in wanted.pop(needle, ()):
                        yield Verdict(unknown, "found", _evidence(contact))
                told_all = told_all and listing.complete
        except Rejected as error:
            if error.code != GROUP_NOT_FOUND:
                raise
        # A contact without a number or an address may be the one looked for, and so may one that the API counts but does
        # not list: nobody can tell.
        word = "absent" if told_all else "undecided"
        for missing in wanted.values():
            for unknown in missing:
                yield Verdict(unknown, word)

    def found(self, job: AddContact, evidence: dict[str, Any]) -> Outcome:
        """The contact as it stands in the listing."""
        return self._outcome(job, evidence["contact_id"])

    @staticmethod
    def _outcome(job: AddContact, contact_id: str) -> Outcome:
        identifying = {"phone": job.phone} if job.channel == "sms" else {"email": job.email}
        data = {
            "channel": job.channel,
            "group_id": job.group_id,
            "contact_id": contact_id,
            **identifying,
            "first_name": job.first_name,
            "last_name": job.last_name,
        }
        return Outcome("contact.added", data, subject=contact_id)


def _needle(phone: str | None, email: str | None) -> str:
    # As it may stand in a listing: the number with or without its plus and blanks, a domain in its own script or in ASCII.
    return re.sub(r"[^0-9]", "", phone or "") or _plain_address(email or "")


def _plain_address(email: str) -> str:
    name, at, domain = email.strip().casefold().rpartition("@")
    if not domain.isascii():
        with suppress(UnicodeError):
            domain = domain.encode("idna").decode("ascii")
    return f"{name}{at}{domain}"


def _evidence(contact: Contact) -> dict[str, Any]:
    return {"contact_id": contact.contact_id}
