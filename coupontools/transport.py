"""One POST over one connection, and certainty about whether it had begun to be written.

httpx is the interface, aiohttp the engine: httpx's own connection pool looks at every connection at every
request. This is the only module that imports httpx.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any, cast

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from coupontools.exchange import Answer, Exchange
from coupontools.faults import NETWORK_FAILURES, explain

KEPT_DOCUMENTS = 100
"""So many answers of a connection are known again."""
IDLE_SECONDS = 4.0
"""How long a connection is kept for the next call: shorter than common servers keep it (5 s: Apache, Node.js).
A call sent in the moment in which the server closes the connection may have been carried out or not."""
DNS_SECONDS = 10
"""How long addresses are kept: one DNS look-up serves a burst of connections, and a moved host is found soon."""


_exchange: ContextVar[Exchange] = ContextVar("coupontools_exchange")


class _Protocol(ResponseHandler):
    """aiohttp's connection, which notices bytes that nobody asked for.

    aiohttp itself would take a whole answer of that kind for the answer to the next call, and the beginning of one for
    the beginning of that call's answer.
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


class _Request(aiohttp.ClientRequest):
    """aiohttp's request, which says when it begins to be written."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        protocol = conn.protocol
        if not isinstance(protocol, _Protocol) or not protocol.is_connected() or protocol.should_close:
            # The connection died in the pool, or the server sent something unasked. Fail before the first byte, so
            # that the call counts as not sent.
            raise aiohttp.ServerDisconnectedError
        exchange = _exchange.get()
        exchange.begin()
        exchange.connection = protocol
        protocol.begin()
        return await super().send(conn)


class _Body(httpx.AsyncByteStream):
    """The answer's document as it comes, decompressed in pieces of bounded size."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._response.content.readany()
        except Exception as failure:
            error = explain(failure, begun=True, status=self._response.status)
        else:
            if chunk:
                return chunk
            raise StopAsyncIteration
        raise error

    async def aclose(self) -> None:
        # A document read to its end has given its connection back by itself. Any other connection still holds
        # the rest of the document, so it cannot be used again.
        self._response.close()


class AiohttpTransport(httpx.AsyncBaseTransport):
    """An httpx transport over aiohttp; the request's `exchange` extension holds an `Exchange`.

    `keep_alive` says whether a connection carries another call when one has ended.
    """

    def __init__(self, *, max_connections: int, keep_alive: bool) -> None:
        self._max_connections = max_connections
        self._keep_alive = keep_alive
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request.

        Raises:
            NotSent: it failed before the exchange began.
            MayHaveHappened: it failed afterwards.
            BaseException: what `before_send` raised, unchanged.
        """
        exchange: Exchange = request.extensions["exchange"]
        token = _exchange.set(exchange)
        error: BaseException
        try:
            response = await self._open_anew(request, exchange)
        except Exception as failure:
            if exchange.refusal is not None:
                error = exchange.refusal
            elif exchange.begun or isinstance(failure, NETWORK_FAILURES):
                error = explain(failure, begun=exchange.begun)
            else:
                raise
        else:
            headers = response.raw_headers
            if "content-encoding" in response.headers:
                # aiohttp has undone the encoding: neither it nor the encoded length holds any more.
                gone = {b"content-encoding", b"content-length"}
                headers = tuple(header for header in headers if header[0].lower() not in gone)
            return httpx.Response(response.status, headers=list(headers), stream=_Body(response))
        finally:
            _exchange.reset(token)
        # Raised outside the handler: the library's exception holds the headers and must not be chained to ours.
        raise error

    async def _open_anew(self, request: httpx.Request, exchange: Exchange) -> aiohttp.ClientResponse:
        # Servers close idle connections, and some send a 408 before they do. Each round takes one kept connection away, so
        # the last round is sure to get a new one: only if that fails, too, does the service look down.
        for _ in range(self._max_connections):
            try:
                return await self._open(request, exchange)
            except aiohttp.ServerDisconnectedError:
                if exchange.begun:
                    raise
        return await self._open(request, exchange)

    async def _open(self, request: httpx.Request, exchange: Exchange) -> aiohttp.ClientResponse:
        if self._session is None:
            # Made at the first call, because a session belongs to the loop it is made in.
            self._session = self._new_session()
        return await self._session.request(
            request.method,
            URL(str(request.url), encoded=True),
            data=await request.aread(),
            headers=[(name.decode("ascii"), value.decode("ascii")) for name, value in request.headers.raw],
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=exchange.total_timeout,
                connect=exchange.connect_timeout,
                sock_read=exchange.idle_timeout,
            ),
        )

    def _new_session(self) -> aiohttp.ClientSession:
        kept = {"keepalive_timeout": IDLE_SECONDS} if self._keep_alive else {"force_close": True}
        # aiohttp repeats a call by itself only for idempotent methods, which POST is not.
        return aiohttp.ClientSession(
            connector=_Connector(limit=self._max_connections, ttl_dns_cache=DNS_SECONDS, **kept),
            request_class=_Request,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=True,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


@lru_cache(maxsize=32)
def _address(url: str) -> httpx.URL:
    # httpx parses an address as slowly as it writes a request, and the API has only a few.
    return httpx.URL(url)


class Http:
    """The transport as this package uses it: one POST at a time.

    The transport is called directly and not through `httpx.AsyncClient`, so that nothing follows a redirect
    (or stumbles over an unreadable `Location`), keeps a cookie or looks for a proxy.
    """

    def __init__(self, *, max_connections: int) -> None:
        self._transports: dict[bool, httpx.AsyncBaseTransport] = {
            keep_alive: AiohttpTransport(max_connections=max_connections, keep_alive=keep_alive)
            for keep_alive in (True, False)
        }

    @asynccontextmanager
    async def post(
        self,
        url: str,
        *,
        content: bytes,
        headers: Mapping[str, str],
        exchange: Exchange,
        keep_alive: bool = True,
    ) -> AsyncIterator[Answer]:
        """Send one request and hand on its answer; leaving the context gives up what was not read of it.

        Without `keep_alive` the connection is this call's own, so that no left-over answer can be on it.
        """
        request = httpx.Request(
            "POST", _address(url), headers=headers, content=content, extensions={"exchange": exchange}
        )
        response = await self._transports[keep_alive].handle_async_request(request)
        try:
            # The transport's stream itself: what httpx would still do to it, decoding, is done already.
            chunks = aiter(cast(httpx.AsyncByteStream, response.stream))
            yield Answer(
                response.status_code,
                response.headers,
                chunks,
                exchange.drop_connection,
                exchange.is_left_over,
            )
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close every connection."""
        for transport in self._transports.values():
            await transport.aclose()
