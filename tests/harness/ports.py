"""Ports of the loopback address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workers.embedded import free_port, keep_port

__all__ = ["keep_closed"]


@contextmanager
def keep_closed() -> Iterator[int]:
    """A port at which nobody listens; who is given any free one meanwhile is not given this one. A server may be told to take it."""
    # Elsewhere than on Linux no server could take it while a socket has it.
    if (sock := keep_port()) is None:
        yield free_port()
        return
    with sock:
        yield sock.getsockname()[1]
