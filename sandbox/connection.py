"""The TCP connection under a request: ASGI hides it, but faults must close or reset it.

uvicorn makes one protocol object for each connection. This subclass puts itself into the request's `state`,
the part of the ASGI scope that a server fills in (ASGI specification, 'Lifespan State'); an endpoint finds it
there.
"""

import asyncio
import socket
import struct
from collections.abc import MutableMapping
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

_STATE_KEY: Final = "sandbox_connection"
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class ConnectionProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol, which the requests that it carries can reach."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, _STATE_KEY: self}, _loop)
        self._left_over = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Prepare a new connection."""
        # asyncio sets this only if the listening socket names its protocol, and socket.create_server's does
        # not. Without it every answer, written as head and body, waits 40 ms for the client's delayed ACK.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take what the client sends; the left-over bytes go out before the answer to it."""
        self.transport.write(self._left_over)
        self._left_over = b""
        super().data_received(data)

    def send_unasked(self, data: bytes) -> None:
        """Send bytes that belong to no answer."""
        self.transport.write(data)

    def leave_over(self, data: bytes) -> None:
        """Send bytes that belong to no answer as soon as the next request begins to arrive."""
        self._left_over = data

    def close(self) -> None:
        """Send what is still buffered, then FIN: the peer reads an orderly end."""
        self.transport.close()

    def reset(self) -> None:
        """Send RST at once: the peer's next read fails with 'connection reset'.

        A lingering time of zero makes close(2) reset the connection, not finish it (socket(7), SO_LINGER).
        """
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.transport.abort()


def connection_of(scope: MutableMapping[str, Any]) -> ConnectionProtocol:
    """Return the connection a request came on; RuntimeError under another server than `sandbox.serve`."""
    connection = scope.get("state", {}).get(_STATE_KEY)
    if connection is None:
        raise RuntimeError("connection faults need sandbox.serve: this server hides its connections")
    return cast(ConnectionProtocol, connection)
