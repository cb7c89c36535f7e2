"""One POST over one connection, and certainty about whether it had begun to be written.

httpx writes the part of the request that all calls of an endpoint share, once; aiohttp keeps the connections and reads the answers.
Neither makes a request object for each call: that took a third of a job's CPU. This is the only module that imports httpx.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import cache, partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.helpers import BaseTimerContext, TimeoutHandle
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

from config.spared import spared
from coupontools.exchange import Answer, Exchange
from coupontools.faults import NETWORK_FAILURES, explain

with spared():
    import httpx

KEPT_DOCUMENTS = 100
"""How many answers of a connection are remembered, to recognise one that comes again."""
IDLE_SECONDS = 4.0
"""How long a connection is kept for the next call: shorter than common servers keep it (5 s: Apache, Node.js).
A call sent in the moment in which the server closes the connection may have been carried out or not."""
DNS_SECONDS = 10
"""How long addresses are kept: one DNS look-up serves a burst of connections, and a moved host is found soon."""


class _Protocol(ResponseHandler):
    """aiohttp's connection, which notices bytes that nobody asked for.

    aiohttp itself would take them for the answer to the next call, or for its beginning.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._awaits_answer = False
        self._unasked = False
        self._documents: dict[int, int] = {}

    @property
    def should_close(self) -> bool:
        """Whether the connection cannot carry another call."""
        return self._unasked or super().should_close

    def begin(self) -> None:
        """Expect the answer to a call."""
        self._awaits_answer = True

    def is_left_over(self, document: bytes, about: object) -> bool:
        """Return whether this document came before, about something else; if not, remember it."""
        digest = hash(document)
        if len(self._documents) == KEPT_DOCUMENTS and digest not in self._documents:
            del self._documents[next(iter(self._documents))]
        return self._documents.setdefault(digest, hash(about)) != hash(about)

    def data_received(self, data: bytes) -> None:
        """Take what the server sends."""
        # aiohttp calls this without data when it goes on after a pause.
        self._unasked = self._unasked or bool(data and not self._awaits_answer)
        super().data_received(data)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take the head of an answer; once its document has ended, no more bytes are expected."""
        message, document = data
        if message.code >= 200:
            document.on_eof(self._end)
        super().feed_data(data, size)

    def _end(self) -> None:
        self._awaits_answer = False


class _Connector(aiohttp.TCPConnector):
    """aiohttp's pool, of our connections."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        protocol: type[ResponseHandler] = _Protocol
        self._factory = partial(protocol, loop=self._loop)


class Route:
    """The part that all calls of one endpoint share: where to connect, and the head of the request."""

    def __init__(self, url: str, headers: Mapping[str, str], *, keep_alive: bool) -> None:
        """Write the head, in the calls' event loop; ``keep_alive`` says whether a connection carries another call when one has ended."""
        #: aiohttp's own request, never sent: the connector only reads from it where to connect.
        self.target = aiohttp.ClientRequest("POST", URL(url, encoded=True), loop=asyncio.get_running_loop())
        self.keep_alive = keep_alive
        own = dict(headers) if keep_alive else {**headers, "Connection": "close"}
        request = httpx.Request("POST", httpx.URL(url), headers=own)
        lines = [b"POST %b HTTP/1.1" % request.url.raw_path]
        # Each call adds its own length.
        lines += [
            b"%b: %b" % header for header in request.headers.raw if header[0].lower() != b"content-length"
        ]
        self._head = b"\r\n".join(lines)

    def request(self, content: bytes, headers: Mapping[str, str]) -> bytes:
        """Return a request as it is written. ``headers`` are the call's own, in printable ASCII alone."""
        own = "".join(f"\r\n{name}: {value}" for name, value in headers.items())
        return b"%b\r\nContent-Length: %d%b\r\n\r\n%b" % (
            self._head,
            len(content),
            own.encode("ascii"),
            content,
        )


class _Headers(Mapping[str, str]):
    """An answer's headers, parsed only when somebody asks for one: a single call that succeeds needs none."""

    def __init__(self, raw: tuple[tuple[bytes, bytes], ...]) -> None:
        self._raw = raw
        self._read: httpx.Headers | None = None

    @property
    def _all(self) -> httpx.Headers:
        if self._read is None:
            self._read = httpx.Headers(list(self._raw))
        return self._read

    def __getitem__(self, name: str) -> str:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


class _Body:
    """The answer's document as it comes, decompressed in pieces of bounded size."""

    def __init__(self, document: StreamReader, status: int) -> None:
        self._document = document
        self._status = status

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._document.readany()
        except Exception as failure:
            error = explain(failure, begun=True, status=self._status)
        else:
            if chunk:
                return chunk
            raise StopAsyncIteration
        raise error


@cache
def _limits(connect: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(connect=connect)


class Http:
    """The transport as this package uses it: one POST at a time.

    It follows no redirect (so an unreadable `Location` does not matter), keeps no cookie, looks for no proxy and repeats no call.
    """

    def __init__(self, *, max_connections: int) -> None:
        self._max_connections = max_connections
        self._closed = False
        #: By keep_alive. Each is made at the first call that needs it, because it belongs to that call's event loop.
        self._connectors: dict[bool, _Connector] = {}

    @staticmethod
    def route(url: str, headers: Mapping[str, str], *, keep_alive: bool) -> Route:
        """Return the part that all calls to ``url`` share."""
        return Route(url, headers, keep_alive=keep_alive)

    async def post(
        self, route: Route, *, content: bytes, headers: Mapping[str, str], exchange: Exchange
    ) -> Answer:
        """Send one request and return its answer, which the caller must close.

        Raises:
            NotSent: it failed before the exchange began.
            MayHaveHappened: it failed afterwards.
            BaseException: what `before_send` raised, unchanged.
        """
        request = route.request(content, headers)
        error: BaseException
        try:
            return await self._open_anew(route, request, exchange)
        except Exception as failure:
            if exchange.refusal is not None:
                error = exchange.refusal
            elif exchange.begun or isinstance(failure, NETWORK_FAILURES):
                error = explain(failure, begun=exchange.begun)
            else:
                raise
        # Raised outside the handler: the library's exception holds pieces of the answer and must not be chained to ours.
        raise error

    async def _open_anew(self, route: Route, request: bytes, exchange: Exchange) -> Answer:
        # Servers close idle connections, and some send a 408 before they do. Each round takes one kept connection away, so
        # the last round is sure to get a new one: only if that fails, too, does the service look down.
        for _ in range(self._max_connections):
            try:
                return await self._open(route, request, exchange)
            except aiohttp.ServerDisconnectedError:
                if exchange.begun:
                    raise
        return await self._open(route, request, exchange)

    async def _open(self, route: Route, request: bytes, exchange: Exchange) -> Answer:
        connector = self._connector(keep_alive=route.keep_alive)
        timeout = TimeoutHandle(asyncio.get_running_loop(), exchange.total_timeout)
        handle = timeout.start()
        timer = timeout.timer()
        try:
            with timer:
                connection = await self._connect(connector, route, exchange)
                try:
                    protocol, message, document = await _ask(connection, request, exchange, timer)
                except BaseException:
                    connection.close()
                    raise
        except BaseException:
            if handle is not None:
                handle.cancel()
            raise
        if handle is not None:
            connection.add_callback(handle.cancel)
        # A document read to its end gives its connection back by itself.
        document.on_eof(connection.release)
        return Answer(
            message.code,
            _Headers(message.raw_headers),
            _Body(document, message.code),
            protocol.close,
            protocol.is_left_over,
            # Closing an answer early closes its connection, which still carries the rest of the document.
            connection.close,
        )

    async def _connect(self, connector: _Connector, route: Route, exchange: Exchange) -> Connection:
        try:
            return await connector.connect(route.target, traces=[], timeout=_limits(exchange.connect_timeout))
        except TimeoutError as late:
            raise aiohttp.ConnectionTimeoutError from late

    def _connector(self, *, keep_alive: bool) -> _Connector:
        if self._closed:
            raise RuntimeError("the client is closed")
        connector = self._connectors.get(keep_alive)
        if connector is None:
            kept = {"keepalive_timeout": IDLE_SECONDS} if keep_alive else {"force_close": True}
            connector = _Connector(limit=self._max_connections, ttl_dns_cache=DNS_SECONDS, **kept)
            self._connectors[keep_alive] = connector
        return connector

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        for connector in self._connectors.values():
            await connector.close()


async def _ask(
    connection: Connection, request: bytes, exchange: Exchange, timer: BaseTimerContext
) -> tuple[_Protocol, RawResponseMessage, StreamReader]:
    """Write the request and return what it was written to, the head of the answer, and its document."""
    protocol = connection.protocol
    if not isinstance(protocol, _Protocol) or not protocol.is_connected() or protocol.should_close:
        # The connection died in the pool, or the server sent something unasked. Fail before the first byte, so
        # that the call counts as not sent.
        raise aiohttp.ServerDisconnectedError
    transport = protocol.transport
    if transport is None:
        raise aiohttp.ServerDisconnectedError
    protocol.set_response_params(
        timer=timer, read_until_eof=True, auto_decompress=True, read_timeout=exchange.idle_timeout
    )
    exchange.begin()
    protocol.begin()
    transport.write(request)
    protocol.start_timeout()
    while True:
        message, document = await protocol.read()
        # Answers such as "100 Continue" go before the one that counts; after a 101 no HTTP follows.
        if not 100 <= message.code <= 199 or message.code == 101:
            return protocol, message, document
