"""One call to the sandbox: carrying it out, and answering it or not.

Carrying out and answering are two steps, so that a fault can come before, between or instead of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from coupontools import Endpoint
from sandbox.answers import Answer
from sandbox.connection import ConnectionProtocol, connection_of
from sandbox.envelopes import (
    BAD_CREDENTIALS,
    EnvelopeForm,
    ErrorItem,
    RefusedError,
    account_text,
    failure,
)
from sandbox.journal import Journal
from sandbox.operations import carry_out_of
from sandbox.parameters import read_parameters
from sandbox.settings import SandboxConfig
from sandbox.store import Store

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Exchange:
    """A call that has arrived in full; the constructor logs it.

    It keeps the data, log and settings it arrived with: after a reset, an effect still to come must not reach
    the new data.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        body: bytes,
        *,
        store: Store,
        journal: Journal,
        settings: SandboxConfig,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self.endpoint = endpoint
        self._store, self._journal, self._settings = store, journal, settings
        self._scope, self._receive, self._send = scope, receive, send
        self._headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self._call = journal.arrived(endpoint.name, self._headers, body)

    def carry_out(self) -> Answer:
        """Do what the call asks, and return the answer that an undisturbed API would give."""
        try:
            self._check_credentials()
            parameters = read_parameters(self._call.body)
            done = carry_out_of(self.endpoint)(self._store, self._settings, parameters)
        except RefusedError as refusal:
            return self.failure(refusal.errors)
        self._journal.carried_out(self._call, done.created)
        return done.answer

    def note_fault(self, kind: str) -> None:
        """Log that a fault of this kind befalls the call."""
        self._journal.faulted(self._call, kind)

    def failure(
        self, errors: tuple[ErrorItem, ...], form: EnvelopeForm | None = None, status: int | None = None
    ) -> Answer:
        """Return the answer that refuses the call; form and HTTP status follow the settings unless given."""
        return failure(errors, self._settings, form, status)

    async def answer(self, answer: Answer) -> None:
        """Send an answer in full, after the latency that is set."""
        latency = self._settings.latency_ms / 1000
        if latency and await self.gone_within(latency):
            return
        if isinstance(answer.body, bytes):
            await self.begin(answer, len(answer.body))
            await self.send_body(answer.body, last=True)
            return
        await self.begin(answer, None)
        for part in answer.body:
            await self.send_body(part)
            # Let other calls run between the parts, and stop when the client has left.
            if await self.gone_within(0):
                return
        await self.send_body(b"", last=True)

    async def begin(self, answer: Answer, length: int | None) -> None:
        """Send an answer's status and headers; its body follows."""
        self._call.status, self._call.codes = answer.status, answer.codes
        await self._send(answer.start(length=length))

    async def send_body(self, part: bytes, *, last: bool = False) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": part, "more_body": not last})

    async def gone_within(self, seconds: float | None) -> bool:
        """Wait that long (None: for ever); return True as soon as the client has left, else False."""
        try:
            async with asyncio.timeout(seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return False
        return True

    @property
    def connection(self) -> ConnectionProtocol:
        """The connection that the call came on."""
        return connection_of(self._scope)

    async def close(self) -> None:
        """End the connection in order (FIN)."""
        self.connection.close()
        await self.gone_within(None)

    async def reset(self) -> None:
        """Tear the connection down (RST)."""
        self.connection.reset()
        await self.gone_within(None)

    def _check_credentials(self) -> None:
        given = (self._headers.get(b"x-client-id"), self._headers.get(b"x-client-secret"))
        if given != (self._settings.client_id.encode(), self._settings.client_secret.encode()):
            raise RefusedError((BAD_CREDENTIALS, account_text(BAD_CREDENTIALS, self.endpoint.channel)))
