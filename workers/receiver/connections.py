"""The receiver's connections: limited in number, in time for each request, and in memory for the bodies of all.

uvicorn limits none of these: a thousand clients that send half a request each would use up all file descriptors and any memory.
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

#: The key of a request's connection in the ASGI scope's `state`.
STATE_KEY: Final = "connection"
#: A request must be whole within this many seconds of its first byte.
REQUEST_SECONDS: Final = 30.0
#: The most memory for the bodies of all requests, in bytes; when it is exceeded, the connection that has been sending longest is closed.
MOST_BYTES: Final = 16 * 1024 * 1024
#: How long a connection stays open after a refusal if its request was not read to its end, in seconds. If it were closed at once, TCP
#: would reset it, and the client might never see the answer. https://www.rfc-editor.org/rfc/rfc9112#section-9.6
LINGER_SECONDS: Final = 1.0
#: The socket option that collects writes until it is unset (Linux only). Head and body are two writes, and would wake the client twice.
_CORK: Final[int | None] = getattr(socket, "TCP_CORK", None)
#: All connections read into this one buffer, one after the other. asyncio would allocate up to 256 KiB for each read, for a thousand
#: clients at once.
_BUFFER: Final = bytearray(16 * 1024)


class Connections:
    """Every open connection. When there are too many, the one that has been without a whole request for longest is closed."""

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
        """Note that this connection has no whole request from now on."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = time.monotonic()

    def serve(self, connection: Connection) -> None:
        """Note that the request of this connection is whole: it is no longer closed to make room."""
        self._waiting.pop(connection, None)

    def hold(self, connection: Connection, part: bytes) -> bool:
        """Keep one more part of a request's body. Return False if there is no room, and no connection to close for it."""
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
        """Return how many connections were closed in the middle of a request since the last call."""
        closed, self._closed = self._closed, 0
        return closed

    def _close(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
        self.release(connection)
        self._closed += connection.began
        connection.transport.abort()


class Connection(H11Protocol, asyncio.BufferedProtocol):
    """uvicorn's HTTP/1.1 protocol, which registers itself with `Connections`; `functools.partial` passes that in."""

    def __init__(
        self,
        connections_: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, STATE_KEY: self}, _loop)
        #: All connections, this one included.
        self.others = connections_
        #: The part of the request's body that has arrived. Only `Connections` changes it, because it counts the bytes of all.
        self.held = bytearray()
        #: Whether the first byte of a request has come.
        self.began = False

    @property
    def request_is_whole(self) -> bool:
        """Whether a request has come to its end and is not answered yet."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection."""
        # asyncio sets this only if the listening socket names its protocol, and socket.create_server's does not. Without it every
        # answer, written as head and body, waits 40 ms for the client's delayed ACK.
        self._socket = transport.get_extra_info("socket")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        self.others.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection."""
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
        """Answer a whole request even if its client has stopped sending; without one, close this connection."""
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
        """Close the connection: answers are short, and a client that leaves so many unread would keep its place for ever."""
        self.transport.abort()

    @contextmanager
    def in_one_packet(self) -> Iterator[None]:
        """Collect everything written inside the block, and send it in one piece at its end."""
        if _CORK is None or self.transport.is_closing():
            yield
            return
        self._socket.setsockopt(socket.IPPROTO_TCP, _CORK, 1)
        yield
        if not self.transport.is_closing():
            self._socket.setsockopt(socket.IPPROTO_TCP, _CORK, 0)

    def read_no_more(self) -> None:
        """Read no more from the client, and forget the part of the body that has arrived."""
        self.flow.pause_reading()
        self.cycle.body.clear()
        self.others.release(self)
