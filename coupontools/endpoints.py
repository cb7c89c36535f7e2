"""The API's endpoints and how they spell their parameters: the client calls, and the sandbox serves, this list.

Source: vendor's document, 'Message service', 'Email service', 'Webhooks'.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from coupontools.models import Channel

Operation = Literal["list_groups", "list_contacts", "create_group", "add_contact", "verify_webhook"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: its channel (None: it belongs to the account), its name, its path, what it carries out."""

    channel: Channel | None
    name: str
    path: str
    operation: Operation


ENDPOINTS = (
    Endpoint(Channel.SMS, "sms/grouplist", "/v3/smstool/grouplist", "list_groups"),
    Endpoint(Channel.SMS, "sms/userlist", "/v3/smstool/userlist", "list_contacts"),
    Endpoint(Channel.SMS, "sms/addgroup", "/v3/smstool/addgroup", "create_group"),
    Endpoint(Channel.SMS, "sms/addcontact", "/v3/smstool/addcontact", "add_contact"),
    Endpoint(Channel.EMAIL, "email/grouplist", "/v3/emailtool/grouplist", "list_groups"),
    Endpoint(Channel.EMAIL, "email/userlist", "/v3/emailtool/userlist", "list_contacts"),
    Endpoint(Channel.EMAIL, "email/addgroup", "/v3/emailtool/addgroup", "create_group"),
    Endpoint(Channel.EMAIL, "email/addcontact", "/v3/emailtool/addcontact", "add_contact"),
    Endpoint(None, "webhook/verification", "/v4/webhook/verification", "verify_webhook"),
)


def find_endpoint(operation: Operation, channel: Channel | None = None) -> Endpoint:
    """Return the endpoint that carries an operation out for a channel.

    Raises:
        LookupError: it is not in the list.
    """
    for endpoint in ENDPOINTS:
        if endpoint.operation == operation and endpoint.channel is channel:
            return endpoint
    raise LookupError(
        f"no endpoint for {operation} ({channel}): add it to ENDPOINTS in coupontools/endpoints.py"
    )


@dataclass(frozen=True, slots=True)
class Spelling:
    """What one channel calls its parameters: the group, a contact's address, and each custom field."""

    group: str
    address: Literal["phone", "email"]
    custom: Mapping[str, str]


SPELLING = {
    Channel.SMS: Spelling("smsgroup", "phone", {str(n): f"customfield{n}" for n in range(1, 8)}),
    Channel.EMAIL: Spelling("emailgroup", "email", {str(n): f"custom{n}" for n in range(1, 11)}),
}
