"""The client: a method for each endpoint of the API."""

from types import TracebackType
from typing import Any, Self

from config.base_url import check_base_url
from coupontools import dialect
from coupontools.calls import Call, Caller
from coupontools.endpoints import SPELLING, find_endpoint
from coupontools.listing import Listing
from coupontools.models import Channel, Contact, Group, NewContact

_NO_EXTRAS = Call()


class ChannelApi:
    """The groups and contacts of one channel; any method raises the subclasses of `CoupontoolsError`."""

    def __init__(self, caller: Caller, channel: Channel) -> None:
        self.channel = channel
        self._caller = caller

    def list_groups(self, call: Call = _NO_EXTRAS) -> Listing[Group]:
        """List the channel's groups (vendor's document, 'List groups')."""
        endpoint = find_endpoint("list_groups", self.channel)
        return Listing(self._caller, endpoint, {}, call, dialect.GROUPS)

    def list_contacts(self, group_id: str, call: Call = _NO_EXTRAS) -> Listing[Contact]:
        """List the contacts of a group (vendor's document, 'List contacts'); 514 is no such group."""
        endpoint = find_endpoint("list_contacts", self.channel)
        parameters = {SPELLING[self.channel].group: group_id}
        return Listing(self._caller, endpoint, parameters, call, dialect.CONTACTS, group_id=group_id)

    async def create_group(self, name: str, call: Call = _NO_EXTRAS) -> Group:
        """Create a group (vendor's document, 'Create group'), whether or not one has this name already."""
        endpoint = find_endpoint("create_group", self.channel)
        return await self._caller.ask(
            endpoint, {"group_name": name}, call, lambda answer: dialect.created_group(answer, name)
        )

    async def add_contact(self, contact: NewContact, call: Call = _NO_EXTRAS) -> str:
        """Add a contact to a group, and return its id (vendor's document, 'Add contact').

        Raises:
            ValueError: the contact does not fit the channel; nothing was sent.
        """
        endpoint = find_endpoint("add_contact", self.channel)
        parameters = dialect.new_contact(self.channel, contact)
        return await self._caller.ask(
            endpoint, parameters, call, lambda answer: dialect.added_contact(answer, contact)
        )


class WebhookApi:
    """Webhook verification."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def verify(self, webhook_id: str, call: Call = _NO_EXTRAS) -> dict[str, Any]:
        """Return what the API has on record for a webhook, as received (vendor's document, 'Webhooks', 'Verification').

        Raises:
            Rejected: with code 509, the API knows no such webhook.
        """
        endpoint = find_endpoint("verify_webhook")
        return await self._caller.ask(
            endpoint, {"webhook": webhook_id}, call, lambda answer: dialect.webhook_record(answer, webhook_id)
        )


class Coupontools:
    """The API of one account. Open connections are kept and shared; close it, or use it as a context.

    `connect_timeout` (seconds) covers waiting for a free connection, DNS, TCP and TLS; `timeout` a whole
    call, or each wait for more of a listing; `listing_timeout` a whole listing. A client belongs to the event loop of its first call.
    """

    def __init__(
        self,
        *,
        base_url: str,
        client_id: str,
        client_secret: str,
        connect_timeout: float = 5,
        timeout: float = 30,
        listing_timeout: float = 300,
        max_connections: int = 64,
    ) -> None:
        """Prepare the client; nothing is sent.

        Raises:
            ValueError: the credentials may not be sent to this address, or do not fit into a header.
        """
        try:
            base_url = check_base_url(base_url)
        except ValueError as wrong:
            raise ValueError(f"base_url {wrong}") from None
        for name, value in (("client_id", client_id), ("client_secret", client_secret)):
            if not (value and value.isascii() and value.isprintable() and value == value.strip()):
                raise ValueError(f"{name} must be printable ASCII without blanks around it")
        # Loaded only where calls are made: the HTTP library takes a third of the time in which a command starts.
        from coupontools.transport import Http  # noqa: PLC0415

        self._http = Http(max_connections=max_connections)
        caller = Caller(
            self._http,
            base_url=base_url,
            client_id=client_id,
            client_secret=client_secret,
            connect_timeout=connect_timeout,
            timeout=timeout,
            listing_timeout=listing_timeout,
        )
        self.sms = ChannelApi(caller, Channel.SMS)
        self.email = ChannelApi(caller, Channel.EMAIL)
        self.webhooks = WebhookApi(caller)

    def channel(self, channel: Channel | str) -> ChannelApi:
        """Return the endpoints of a channel; raises ValueError if there is no such channel."""
        return self.sms if Channel(channel) is Channel.SMS else self.email

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
