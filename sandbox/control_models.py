"""The inputs of the control API: each is a validated model, whose `follow` does it and returns the answer."""

from abc import ABC, abstractmethod
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from coupontools import Channel
from sandbox.settings import Strict
from sandbox.state import SandboxState
from sandbox.store import Contact, Group, Store
from sandbox.webhooks import Family, family_of, issue

# A strict model takes only an enum's member; the control API sends its value.
ChannelName = Annotated[Channel, Field(strict=False)]
GroupId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,68}$")]
Count = Annotated[int, Field(ge=1, le=5_000_000)]


def _flag(value: object) -> object:
    return {"0": False, "1": True}.get(value, value) if isinstance(value, str) else value


class ControlInput(Strict, ABC):
    """One request to the control API."""

    @abstractmethod
    def follow(self, state: SandboxState) -> object:
        """Do it, and return the answer as JSON can write it; ValueError says why it cannot be done."""


class SeededContact(Strict):
    """A contact to put into a group, unchecked: seeded data may be as odd as real data."""

    phone: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    unsubscribed: Annotated[bool, BeforeValidator(_flag)] = False
    unsubscribedate: str = "13/07/2018 19:47 UTC"

    def put(self, store: Store, group: Group) -> str:
        """Add the contact and return its id."""
        changes = {} if self.unsubscribed else {"unsubscribedate": ""}
        fields = {**self.model_dump(), "phone": self.phone.removeprefix("+"), **changes}
        group.contacts.append(Contact(contact_id=store.next_contact_id(), **fields))
        return group.contacts[-1].contact_id


class SeedGroups(ControlInput):
    """One group with its contacts, or `count` generated groups named `name` and a number."""

    channel: ChannelName
    name: str = "Group"
    group_id: GroupId | None = None
    contacts: list[SeededContact] = Field(default_factory=list)
    count: Count | None = None

    @model_validator(mode="after")
    def _one_or_many(self) -> "SeedGroups":
        if self.count is not None and (self.group_id is not None or self.contacts):
            raise ValueError("count makes groups without contacts and with ids of their own")
        return self

    def follow(self, state: SandboxState) -> object:
        store = state.store
        if self.count is not None:
            names = (f"{self.name} {number}" for number in range(1, self.count + 1))
            groups = [store.add_group(self.channel, name) for name in names]
            return {"first_group_id": groups[0].group_id, "count": len(groups)}
        group = store.add_group(self.channel, self.name, self.group_id)
        return {
            "group_id": group.group_id,
            "contact_ids": [contact.put(store, group) for contact in self.contacts],
        }


class SeedContacts(ControlInput):
    """Contacts for an existing group, given or `count` generated ones."""

    channel: ChannelName
    group_id: GroupId
    contacts: list[SeededContact] = Field(default_factory=list)
    count: Count | None = None

    @model_validator(mode="after")
    def _something(self) -> "SeedContacts":
        if not self.contacts and self.count is None:
            raise ValueError("give contacts, count or both")
        return self

    def follow(self, state: SandboxState) -> object:
        group = state.store.groups[self.channel].get(self.group_id)
        if group is None:
            raise ValueError(f"there is no {self.channel} group {self.group_id}")
        contact_ids = [contact.put(state.store, group) for contact in self.contacts]
        if self.count is not None:
            state.store.generate_contacts(group, self.count)
        return {"group_id": group.group_id, "contact_ids": contact_ids, "amount_of_contacts": group.size()}


class IssueWebhook(ControlInput):
    """A webhook to issue, by its type, its family, or both; the answer is its body."""

    type: str | None = Field(default=None, min_length=1)
    family: Family | None = None
    fields: dict[str, JsonValue] = Field(default_factory=dict)
    answer: Literal["old", "new"] = "new"

    @model_validator(mode="after")
    def _known(self) -> "IssueWebhook":
        if self.type is None and self.family is None:
            raise ValueError("give a type, a family or both")
        if reserved := self.fields.keys() & {"id", "type"}:
            raise ValueError(f"fields cannot set {' and '.join(sorted(reserved))}")
        return self

    def follow(self, state: SandboxState) -> object:
        family = self.family or family_of(self.type or "")
        old = self.answer == "old"
        return issue(state.store, family, webhook_type=self.type, fields=self.fields, old_answer=old)


class Reset(ControlInput):
    """Forget data, faults and log; with `settings`, changed settings too."""

    settings: bool = False

    def follow(self, state: SandboxState) -> object:
        state.reset(settings=self.settings)
        return {"reset": True}


class ListRequests(ControlInput):
    """The calls after the number `since`; `next` in the answer is the number to ask after next time."""

    # The values come as text, from the query.
    model_config = ConfigDict(strict=False)

    # JSON answers hold numbers of at most 64 bits.
    since: int = Field(default=0, ge=0, lt=2**63)
    limit: int = Field(default=1_000_000, ge=1)

    def follow(self, state: SandboxState) -> object:
        calls = [call.shown() for call in islice(state.journal.since(self.since), self.limit)]
        return {"requests": calls, "next": calls[-1]["number"] if calls else self.since}


def sentence(errors: list[Any]) -> str:
    """Return what is wrong with an input, as one readable line; `errors` are pydantic's."""
    return "; ".join(
        f"{'.'.join(str(part) for part in error['loc']) or 'body'}: {error['msg']}" for error in errors
    )
