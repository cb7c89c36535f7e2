"""What the control API accepts, each input as one validated model."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from coupontools import Channel
from sandbox.store import Contact, Group, Store
from sandbox.webhooks import Family

GroupId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,68}$")]
# Strict models take an enum's member alone; the control API gives its value.
ChannelName = Annotated[Channel, Field(strict=False)]
Count = Annotated[int, Field(ge=1, le=5_000_000)]
_UNSUBSCRIBED_AT = "13/07/2018 19:47 UTC"


def _flag(value: object) -> object:
    return {"0": False, "1": True}.get(value, value) if isinstance(value, str) else value


class ControlInput(BaseModel):
    """Unknown fields and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SeededContact(ControlInput):
    """A contact to put into a group, unchecked: seeded data may be as odd as real data."""

    phone: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    unsubscribed: Annotated[bool, BeforeValidator(_flag)] = False
    unsubscribedate: str = _UNSUBSCRIBED_AT

    def put(self, store: Store, group: Group) -> str:
        """Add the contact; answers its id."""
        contact = Contact(
            contact_id=store.next_contact_id(),
            phone=self.phone.removeprefix("+"),
            email=self.email,
            first_name=self.first_name,
            last_name=self.last_name,
            unsubscribed=self.unsubscribed,
            unsubscribed_at=self.unsubscribedate if self.unsubscribed else "",
        )
        group.contacts.append(contact)
        return contact.contact_id


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


class IssueWebhook(ControlInput):
    """A webhook to issue: its type, its family, or both; the other follows."""

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


class Reset(ControlInput):
    """What else to reset than data, faults and log."""

    settings: bool = False


class Since(BaseModel):
    """Which part of the request log to answer; its values come as text, from the query."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: int = Field(default=0, ge=0)
    limit: int = Field(default=1_000_000, ge=1)


def sentence(errors: list[Any]) -> str:
    """What is wrong with an input, as one readable line; `errors` are pydantic's."""
    parts = []
    for error in errors:
        place = ".".join(str(part) for part in error["loc"]) or "body"
        parts.append(f"{place}: {error['msg']}")
    return "; ".join(parts)
