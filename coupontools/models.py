"""What is sent to the API and what it answers, in this project's words, not in the vendor's spelling."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Channel(StrEnum):
    """The two message services of an account; groups and contacts belong to one of them."""

    SMS = "sms"
    EMAIL = "email"


@dataclass(frozen=True, slots=True)
class Group:
    """A group of contacts; `group_id` is always of the form `gro_119251`."""

    group_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Contact:
    """One entry of a listing. `phone` is E.164 with its plus, or as the API wrote it; `unsubscribed_at` RFC 3339 in UTC."""

    contact_id: str
    phone: str | None
    email: str | None
    first_name: str
    last_name: str
    unsubscribed: bool
    unsubscribed_at: str | None


@dataclass(frozen=True, slots=True)
class NewContact:
    """A contact to add. `custom_fields` maps `"1"`-`"7"` (sms) or `"1"`-`"10"` (email) to texts."""

    group_id: str
    phone: str | None = None
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    custom_fields: Mapping[str, str] = field(default_factory=dict)
