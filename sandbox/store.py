"""What the account holds: groups, contacts and webhooks, in memory, with ids that repeat from run to run.

Like the real API, the sandbox has no idempotency: adding the same contact or group again makes a second one.
"""

import random
import string
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain, count
from typing import Any, Final

from coupontools import Channel

FIRST_GROUP: Final = 119251
FIRST_CONTACT: Final = 12345678
FIRST_DIRECTORY_PAGE: Final = 922
_ALPHANUMERIC: Final = string.ascii_letters + string.digits


@dataclass(slots=True)
class Contact:
    """One contact row. `phone` has no plus, as the API lists it; `custom` has the API's keys."""

    contact_id: str
    phone: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    unsubscribed: bool = False
    unsubscribedate: str = ""
    birthday: str = ""
    custom: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Group:
    """One group of one channel; `generated` are contact numbers whose rows are made when they are listed."""

    group_id: str
    name: str
    contacts: list[Contact] = field(default_factory=list)
    generated: list[range] = field(default_factory=list)

    def size(self) -> int:
        """Return how many contacts the group has."""
        return len(self.contacts) + sum(map(len, self.generated))

    def rows(self) -> Iterator[Contact]:
        """Return every contact as of now, the generated ones first."""
        generated = chain.from_iterable(tuple(self.generated))
        return chain(map(generated_contact, generated), tuple(self.contacts))


def generated_contact(number: int) -> Contact:
    """Return the made-up contact of this number: the same one at every listing."""
    return Contact(
        contact_id=f"con_{number}",
        phone=f"447{number:09d}",
        email=f"contact{number}@example.com",
        first_name=f"First{number}",
        last_name=f"Last{number}",
    )


class Store:
    """The account's data. Ids count upward; webhook ids come from a seeded generator."""

    def __init__(self, seed: int) -> None:
        self.groups: dict[Channel, dict[str, Group]] = {channel: {} for channel in Channel}
        self.webhooks: dict[str, dict[str, Any]] = {}
        self.old_answers: set[str] = set()
        self._random = random.Random(seed)  # noqa: S311 - ids must repeat, not resist guessing
        self._group_numbers = count(FIRST_GROUP)
        self._next_contact = FIRST_CONTACT
        self._directory_pages = count(FIRST_DIRECTORY_PAGE)

    def add_group(self, channel: Channel, name: str, group_id: str | None = None) -> Group:
        """Return a new group, under the given id or the next free number; ValueError if the id is taken."""
        groups = self.groups[channel]
        if group_id in groups:
            raise ValueError(f"the {channel} group {group_id} exists already")
        free = (f"gro_{number}" for number in self._group_numbers)
        group = Group(group_id or next(found for found in free if found not in groups), name)
        groups[group.group_id] = group
        return group

    def next_contact_id(self) -> str:
        """Return the id of the next contact."""
        self._next_contact += 1
        return f"con_{self._next_contact - 1}"

    def generate_contacts(self, group: Group, number: int) -> None:
        """Add that many made-up contacts without making their rows yet."""
        group.generated.append(range(self._next_contact, self._next_contact + number))
        self._next_contact += number

    def next_webhook_id(self) -> str:
        """Return `evt_` and 20 letters or digits."""
        return "evt_" + "".join(self._random.choices(_ALPHANUMERIC, k=20))

    def next_directory_page_id(self) -> str:
        """Return the bare number that a directory page's webhook has for its id."""
        return str(next(self._directory_pages))

    def shown(self) -> dict[str, Any]:
        """Return groups, contacts, webhooks and counts as the control API shows them. Generated contacts are counted, not listed."""
        held = [(channel, group) for channel in Channel for group in self.groups[channel].values()]
        groups = [
            {
                "channel": channel,
                "group_id": group.group_id,
                "name": group.name,
                "amount_of_contacts": group.size(),
            }
            for channel, group in held
        ]
        contacts = [
            {"channel": channel, "group_id": group.group_id, **asdict(contact)}
            for channel, group in held
            for contact in group.contacts
        ]
        return {
            "groups": groups,
            "contacts": contacts,
            "webhooks": list(self.webhooks.values()),
            "counts": {
                "groups": len(groups),
                "contacts": sum(group.size() for _, group in held),
                "webhooks": len(self.webhooks),
                "surplus_groups": _surplus(groups, "channel", "name"),
                "surplus_contacts": _surplus(contacts, "channel", "group_id", "phone", "email"),
            },
        }


def _surplus(rows: list[dict[str, Any]], *names: str) -> int:
    """Return how many rows repeat an earlier one in these fields."""
    return len(rows) - len({tuple(row[name] for name in names) for row in rows})
