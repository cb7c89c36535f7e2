"""Ports of the loopback address."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["keep_closed"]


@contextmanager
def keep_closed() -> Iterator[int]:
    """A port at which nobody listens; who is given any free one meanwhile is not given this one. A server may be told to take it."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        # Elsewhere than on Linux no server could take it while this socket has it.
        if sys.platform != "linux":
            sock.close()
        yield port
