"""add_contact: adds one contact to an SMS or email group. Read back from the group's listing, by phone or address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, Literal

from actors.arguments import ChannelName, CustomFields, Email, GroupId, PersonName, Phone, composed
from actors.event_data import ONE_CALL, Answer
from actors.job import Job
from actors.likeness import (
    DoubtfulRows,
    dresses_of_address,
    dresses_of_number,
    shown_address,
    shown_number,
)
from actors.problems import ArgumentError
from coupontools import (
    SPELLING,
    Call,
    Channel,
    Contact,
    Coupontools,
    NewContact,
    Rejected,
    comparable_address,
    comparable_number,
)
from delivery import KnownIds, Outcome, Unknown, Verdict

__all__ = ["AddContact"]

#: The API says that there is no such group; vendor's document, "Possible errors".
GROUP_NOT_FOUND = 514
#: After this many verdicts, let the other jobs of this loop run.
AT_ONCE = 500


def _of_channel(channel: Channel) -> dict[str, Any]:
    """Return the JSON Schema of the arguments for one channel."""
    needed, foreign = _addresses(channel)
    return {
        "if": {"properties": {"channel": {"const": channel}}},
        "then": {
            "required": [needed],
            "properties": {
                needed: {"type": "string"},
                foreign: {"type": "null"},
                "custom_fields": {"propertyNames": {"enum": list(SPELLING[channel].custom)}},
            },
        },
    }


def _addresses(channel: Channel) -> tuple[str, str]:
    """Return the argument that a channel needs, and the one that only the other channel takes."""
    return ("phone", "email") if channel is Channel.SMS else ("email", "phone")


class ContactAdded(Answer):
    """add_contact succeeded."""

    examples: ClassVar = [
        {
            "channel": "sms",
            "group_id": "gro_119251",
            "contact_id": "con_12345678",
            "phone": "+32470123456",
            "first_name": "Ada",
            "last_name": None,
            **ONE_CALL,
        }
    ]

    channel: Literal["sms", "email"]
    group_id: str
    contact_id: str
    phone: str | None = None
    email: str | None = None
    first_name: str | None
    last_name: str | None


class AddContact(Job):
    """Adds one contact to an SMS or email group."""

    examples: ClassVar = [
        {
            "channel": "sms",
            "group_id": "gro_119251",
            "phone": "+32470123456",
            "first_name": "Ada",
            "custom_fields": {"1": "gold"},
        },
        {"channel": "email", "group_id": "gro_119251", "email": "ada@example.com"},
    ]

    actor = "add_contact"
    queue = "contacts"
    also: ClassVar = ("bulk",)
    succeeds: ClassVar = {"contact.added": ContactAdded}
    failed = "contact.failed"
    effect = True
    conflict = (
        "this contact was added to the group before, with other data, and the API cannot change a contact"
    )
    together = tuple(_of_channel(channel) for channel in Channel)

    channel: ChannelName
    group_id: GroupId
    phone: Phone | None = None
    email: Email | None = None
    first_name: PersonName | None = None
    last_name: PersonName | None = None
    custom_fields: CustomFields | None = None

    @property
    def meaning(self) -> dict[str, Any]:
        """All arguments that count. An address is lower-cased: nearly all mail servers ignore case, and the API may list it in another."""
        meaning: dict[str, Any] = composed(super().meaning)
        return meaning | {"email": self._address} if self.email else meaning

    @property
    def about(self) -> dict[str, Any]:
        """The contact without names: a job with a corrected name must not add the contact twice."""
        return {
            "channel": self.channel,
            "group_id": self.group_id,
            "to": self.phone or self._address,
        }

    @classmethod
    def problems_together(cls, given: Mapping[str, Any]) -> list[ArgumentError]:
        """Return a problem for each argument that does not fit the channel."""
        channel, custom_fields = given.get("channel"), given.get("custom_fields")
        if channel not in ("sms", "email"):
            return []
        problems = []
        needed, foreign = _addresses(Channel(channel))
        if given.get(needed) is None:
            problems.append(ArgumentError(needed, f"is required for channel '{channel}'"))
        if given.get(foreign) is not None:
            problems.append(ArgumentError(foreign, f"is not allowed for channel '{channel}'"))
        numbers = SPELLING[Channel(channel)].custom
        problems += [
            ArgumentError(
                f"custom_fields.{number}",
                f"must be one of '1' to '{len(numbers)}' for channel '{channel}'",
            )
            for number in (custom_fields if isinstance(custom_fields, dict) else ())
            if number not in numbers
        ]
        return problems

    async def call(self, api: Coupontools, call: Call) -> Outcome:
        """Add the contact once."""
        contact_id = await api.channel(Channel(self.channel)).add_contact(
            NewContact(
                group_id=self.group_id,
                phone=self.phone,
                email=self.email,
                first_name=self.first_name,
                last_name=self.last_name,
                custom_fields=self.custom_fields or {},
            ),
            call,
        )
        return self._added(contact_id, *self._names)

    def recalled(self, *kept: Any) -> Outcome:
        """The contact that was added, with the names from the listing if those differ from the job's."""
        contact_id, *listed = kept
        return self._added(contact_id, *(listed or self._names))

    def listing(self) -> str:
        """The group's contacts."""
        return f"contacts:{self.channel}:{self.group_id}"

    def needle(self) -> str:
        """The number or the address in its comparable form."""
        return comparable_number(self.phone or "") or self._address

    async def read_back(
        self, api: Coupontools, call: Call, unknowns: list[Unknown], ids: KnownIds
    ) -> AsyncIterator[Verdict]:
        """Look for every unknown contact of the group in one listing, row by row: the whole listing is never in memory."""
        sms = self.channel == "sms"
        dresses = dresses_of_number if sms else dresses_of_address
        wanted = {unknown.needle: dresses(unknown.needle) for unknown in unknowns}
        rows = DoubtfulRows(wanted, await ids.doubtful(self.listing()))
        found: dict[str, Contact] = {}
        complete = True
        try:
            async with api.channel(Channel(self.channel)).list_contacts(self.group_id, call) as listing:
                async for contact in listing:
                    shown = shown_number(contact.phone) if sms else shown_address(contact.email)
                    # A contact that unsubscribed and is added again has two rows: the old one is not the call's effect.
                    if (form := shown[0]) in wanted and (form not in found or found[form].unsubscribed):
                        found[form] = contact
                    rows.see(contact.contact_id, shown)
                complete = listing.complete
        except Rejected as error:
            if error.code != GROUP_NOT_FOUND:
                raise
        if complete:
            await ids.note_doubtful(self.listing(), rows.ids)
        for number, unknown in enumerate(unknowns):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            if unknown.needle in found:
                yield Verdict(unknown, "found", _as_listed(found[unknown.needle]))
            # A row that does not show its whole number or address may be this contact, and so may a row that the API
            # counts but does not list.
            elif complete and not rows.could_be(unknown.needle, unknown.began):
                yield Verdict(unknown, "absent")
            else:
                yield Verdict(unknown, "undecided")

    def found(self, evidence: dict[str, Any]) -> Outcome:
        """The contact as the listing shows it."""
        return self._added(evidence["contact_id"], evidence.get("first_name"), evidence.get("last_name"))

    @property
    def _names(self) -> tuple[str | None, str | None]:
        return self.first_name, self.last_name

    @property
    def _address(self) -> str:
        email = self.email or ""
        return comparable_address(email) or email.lower()

    def _added(self, contact_id: str, first_name: str | None, last_name: str | None) -> Outcome:
        identifying = {"phone": self.phone} if self.channel == "sms" else {"email": self.email}
        data = {
            "channel": self.channel,
            "group_id": self.group_id,
            "contact_id": contact_id,
            **identifying,
            "first_name": first_name,
            "last_name": last_name,
        }
        names = (first_name, last_name)
        kept = (contact_id, *(() if names == self._names else names))
        return Outcome("contact.added", data, subject=contact_id, kept=kept)


def _as_listed(contact: Contact) -> dict[str, Any]:
    return {
        "contact_id": contact.contact_id,
        "first_name": contact.first_name or None,
        "last_name": contact.last_name or None,
    }
