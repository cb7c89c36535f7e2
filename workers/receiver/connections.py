"""The receiver's connections: few, each with a bounded time to send a request, and little memory for what all of them have sent.

uvicorn bounds neither: a thousand senders of half a request would take every file descriptor, and as much memory as they liked.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

__all__ = ["LINGER_SECONDS", "REQUEST_SECONDS", "STATE_KEY", "Connection", "Connections"]

#: Where a request finds its connection: in the ASGI scope's `state`.
STATE_KEY: Final = "connection"
#: A request must be whole within so many seconds of its first byte.
REQUEST_SECONDS: Final = 30.0
#: What all requests together may hold in memory, in bytes; a request that needs more takes it from the one that has been sending longest.
MOST_BYTES: Final = 16 * 1024 * 1024
#: How long a connection stays open after a refusal whose request was not read to its end, in seconds. Closed at once, it would be reset,
#: and the sender might never see the answer. https://www.rfc-editor.org/rfc/rfc9112#section-9.6
LINGER_SECONDS: Final = 1.0
#: Lets writes gather until they are let go (Linux alone has it). Head and body of an answer are two, and each would wake the client.
_CORK: Final[int | None] = getattr(socket, "TCP_CORK", None)
#: All connections read into this one buffer, in turn. asyncio's own reads are up to 256 KiB each, of a thousand senders at once.
_BUFFER: Final = bytearray(16 * 1024)


class Connections:
    """Every open connection. When there are too many, the one that has been waiting longest for a whole request is closed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0
        self._bytes = 0
        #: Since when each connection has had no whole request, the oldest first.
        self._waiting: dict[Connection, float] = {}
        self._closed = 0

    def enter(self, connection: Connection) -> None:
        """Count a new connection in."""
        self._open += 1
        self.wait(connection)
        if self._open > self._most:
            self._close(next(iter(self._waiting)))

    def leave(self, connection: Connection) -> None:
        """Count a connection out."""
        self._open -= 1
        self._waiting.pop(connection, None)

    def wait(self, connection: Connection) -> None:
        """Note that this connection has no whole request, from now on."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = time.monotonic()

    def serve(self, connection: Connection) -> None:
        """Note that the request of this connection is whole: it is no more closed to make room."""
        self._waiting.pop(connection, None)

    def hold(self, connection: Connection, part: bytes) -> bool:
        """Keep one more part of a request's body. Return False if there is no room and nobody to take it from."""
        connection.held += part
        self._bytes += len(part)
        while self._bytes > MOST_BYTES:
            sender = next((waiting for waiting in self._waiting if waiting.held), None)
            if sender is None:
                return False
            self._close(sender)
        return True

    def release(self, connection: Connection) -> None:
        """Forget the body of a request."""
        self._bytes -= len(connection.held)
        connection.held = bytearray()

    def close_late(self) -> None:
        """Close every connection whose request is not whole in time."""
        now = time.monotonic()
        late = [connection for connection, since in self._waiting.items() if now - since > REQUEST_SECONDS]
        for connection in late:
            self._close(connection)

    def close_unfinished(self) -> None:
        """Close every connection whose request is not whole yet."""
        for connection in list(self._waiting):
            self._close(connection)

    def take_closed(self) -> int:
        """Return how many connections were closed on a sender since this was last asked."""
        closed, self._closed = self._closed, 0
        return closed

    def _close(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
        self.release(connection)
        self._closed += connection.began
        connection.transport.abort()


class Connection(H11Protocol, asyncio.BufferedProtocol):
    """uvicorn's HTTP/1.1 protocol, with its place among the others; `functools.partial` gives it these."""

    def __init__(
        self,
        connections_: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, STATE_KEY: self}, _loop)
        #: All of them.
        self.others = connections_
        #: What has come of its request's body. Only `Connections` changes it, which counts all of them.
        self.held = bytearray()
        #: Whether the first byte of a request has come.
        self.began = False

    @property
    def request_is_whole(self) -> bool:
        """Whether a request has come to its end and is not answered yet."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place."""
        # asyncio sets this only if the listening socket names its protocol, which socket.create_server's does not; without it every
        # answer, written as head and body, waits 40 ms for the client's delayed ACK.
        self._socket = transport.get_extra_info("socket")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        self.others.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self.others.leave(self)
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - asyncio calls it so
        """Return the buffer that asyncio reads into."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Take what asyncio has read."""
        self.data_received(bytes(_BUFFER[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        if not self.began:
            self.began = True
            self.others.wait(self)
        super().data_received(data)
        if self.request_is_whole:
            self.others.serve(self)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Carry out and answer a whole request also when its sender sends no more; close all other connections."""
        if not self.request_is_whole:
            return False
        self.cycle.keep_alive = False
        return True

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it has come already."""
        self.began = False
        self.others.wait(self)
        super().on_response_complete()
        if self.request_is_whole:
            self.others.serve(self)

    def pause_writing(self) -> None:
        """Close the connection: the answers are short, and whoever leaves so many of them unread would keep its place for ever."""
        self.transport.abort()

    @contextmanager
    def in_one_packet(self) -> Iterator[None]:
        """Send what is written meanwhile at once, at the end."""
        if _CORK is None or self.transport.is_closing():
            yield
            return
        self._socket.setsockopt(socket.IPPROTO_TCP, _CORK, 1)
        yield
        if not self.transport.is_closing():
            self._socket.setsockopt(socket.IPPROTO_TCP, _CORK, 0)

    def read_no_more(self) -> None:
        """Leave what else the client sends where it is, and forget what has come of its body."""
        self.flow.pause_reading()
        self.cycle.body.clear()
        self.others.release(self)
