"""Shared by the HTTP servers of this project: how they refuse, their listening socket, uvicorn's settings, and how signals end them."""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from workers.signals import Stop

__all__ = ["CannotListen", "Refused", "StoppableServer", "listener", "server_config"]


class Refused(Exception):  # noqa: N818 - says what happened to the request
    """The request is answered with a status other than 200, and with the reason."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


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


def server_config(
    app: Any, *, backlog: int, keep_alive_seconds: int, drain_seconds: float, **more: Any
) -> uvicorn.Config:
    """Return the settings of uvicorn that all our servers share, and ``more``."""
    # Except for its warnings, uvicorn's lines say no more than ours.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    return uvicorn.Config(
        app,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        # Nobody needs the client's address from a proxy's headers; the header that says https is read where that matters.
        proxy_headers=False,
        server_header=False,
        backlog=backlog,
        timeout_keep_alive=keep_alive_seconds,
        timeout_graceful_shutdown=math.ceil(drain_seconds),
        **more,
    )


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
