"""Ports of the loopback address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workers.embedded import free_port, keep_port

__all__ = ["keep_closed"]


@contextmanager
def keep_closed() -> Iterator[int]:
    """Reserve a port at which nobody listens: nobody who asks for any free port gets it meanwhile, but a server may be told to take it."""
    # Only on Linux can a server take a port that a socket keeps.
    if (sock := keep_port()) is None:
        yield free_port()
        return
    with sock:
        yield sock.getsockname()[1]
