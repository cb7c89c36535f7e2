"""What the HTTP servers of this project share: their listening socket, and an end that signals bring about and that exits with 0."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from workers.signals import Stop

__all__ = ["CannotListen", "StoppableServer", "listener"]


class CannotListen(Exception):  # noqa: N818 - says what happened
    """The port is taken, or there is no such host here; the message is a sentence for whoever chose them."""


def listener(host: str, port: int, *, backlog: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    Raises:
        CannotListen: the port cannot be bound.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        # Python repeats the address behind the reason.
        why = (error.strerror or "there is no such host").partition(" (while ")[0]
    except (UnicodeError, TypeError):
        why = "this is no name of a host"
    raise CannotListen(f"cannot listen on {host}, port {port}: {why}")


class StoppableServer(uvicorn.Server):
    """uvicorn's server, but a signal that ended it is not raised again."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stop = Stop()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to the signals that stop a worker; uvicorn would raise them again after serving, and the process not exit with 0."""
        self._stop.listen()
        yield
        self._stop.end()

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop."""
        return self._stop.wait(0) or await super().on_tick(counter)
