"""What the account holds, as the control API shows it: rows, counts, and how many are doubles."""

from dataclasses import asdict
from typing import Any

from coupontools import Channel
from sandbox.store import Store

Row = dict[str, Any]


def show(store: Store) -> dict[str, Any]:
    """Return groups, contacts, webhooks and counts. Generated contacts are counted, not listed."""
    held = [(channel, group) for channel in Channel for group in store.groups[channel].values()]
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
        "webhooks": list(store.webhooks.values()),
        "counts": {
            "groups": len(groups),
            "contacts": sum(group.size() for _, group in held),
            "webhooks": len(store.webhooks),
            "surplus_groups": _surplus(groups, "channel", "name"),
            "surplus_contacts": _surplus(contacts, "channel", "group_id", "phone", "email"),
        },
    }


def _surplus(rows: list[Row], *fields: str) -> int:
    """Return how many rows repeat an earlier one in these fields."""
    return len(rows) - len({tuple(row[field] for field in fields) for row in rows})
