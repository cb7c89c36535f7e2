"""What the account holds, as the control API shows it: rows, counts, and how many are doubles."""

from typing import Any

from coupontools import Channel
from sandbox.store import Contact, Group, Store, surplus


def show(store: Store) -> dict[str, Any]:
    """Groups, contacts, webhooks and counts. Generated contacts are counted, not listed."""
    groups = [_group(channel, group) for channel in Channel for group in store.groups[channel].values()]
    contacts = [
        _contact(channel, group, contact)
        for channel in Channel
        for group in store.groups[channel].values()
        for contact in group.contacts
    ]
    return {
        "groups": groups,
        "contacts": contacts,
        "webhooks": list(store.webhooks.values()),
        "counts": {
            "groups": len(groups),
            "contacts": sum(group["amount_of_contacts"] for group in groups),
            "webhooks": len(store.webhooks),
            "surplus_groups": surplus((group["channel"], group["name"]) for group in groups),
            "surplus_contacts": surplus(
                (contact["channel"], contact["group_id"], contact["phone"], contact["email"])
                for contact in contacts
            ),
        },
    }


def _group(channel: Channel, group: Group) -> dict[str, Any]:
    return {
        "channel": channel,
        "group_id": group.group_id,
        "name": group.name,
        "amount_of_contacts": group.size(),
    }


def _contact(channel: Channel, group: Group, contact: Contact) -> dict[str, Any]:
    return {
        "channel": channel,
        "group_id": group.group_id,
        "contact_id": contact.contact_id,
        "phone": contact.phone,
        "email": contact.email,
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "unsubscribed": contact.unsubscribed,
        "unsubscribedate": contact.unsubscribed_at,
        "birthday": contact.birthday,
        "custom": contact.custom,
    }
