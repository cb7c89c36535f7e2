"""Serves the operators' page in one small process until SIGTERM, then answers every request that has begun."""

from __future__ import annotations

import asyncio
import socket
from importlib.metadata import version
from typing import Final

import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from config import Settings
from workers.http_server import StoppableServer, listener, server_config
from workers.redis_link import sync_client
from workers.web.app import create_app
from workers.web.chores import Chores
from workers.web.desk import Desk

__all__ = ["serve"]

log = structlog.get_logger("workers.web")

#: The most connections at a time; uvicorn answers 503 on further ones.
MOST_CONNECTIONS: Final = 300
#: The most connections that are kept open to answer 503 on them. asyncio accepts up to twice BACKLOG more before it closes them; together
#: they must stay below 1,024, the usual limit of a process's open files: beyond it, asyncio writes thousands of lines a second to the log.
MOST_OPEN: Final = 500
BACKLOG: Final = 128
KEEP_ALIVE_SECONDS: Final = 30


def serve(settings: Settings, *, host: str, port: int) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then answer the requests that have begun, and return. Port 0 takes a free port.

    Raises:
        workers.http_server.CannotListen: the port cannot be bound.
    """
    with listener(host, port, backlog=BACKLOG) as listening, sync_client(settings.redis_url) as client:
        app, _, desk = create_app(settings, client)
        config = server_config(
            app,
            http=_Connection,
            backlog=BACKLOG,
            keep_alive_seconds=KEEP_ALIVE_SECONDS,
            drain_seconds=settings.shutdown_seconds,
            limit_concurrency=MOST_CONNECTIONS,
        )
        log.info(
            "web.started", host=host, port=listening.getsockname()[1], version=version("coupontools-worker")
        )
        desk.workshop.start()
        try:
            _Server(config, desk).run([listening])
        finally:
            desk.workshop.stop()
    log.info("web.stopped")


class _Connection(H11Protocol):
    """uvicorn's HTTP/1.1 protocol, which closes the connections that are too many even to be refused."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection, or close it."""
        super().connection_made(transport)
        if len(self.connections) > MOST_OPEN:
            transport.abort()


class _Server(StoppableServer):
    """Ends the live streams when it stops: it waits for every answer, and these would never end."""

    def __init__(self, config: uvicorn.Config, desk: Desk) -> None:
        super().__init__(config)
        self._desk = desk
        self._chores = Chores(desk)
        self._doing: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, and start the chores."""
        await super().startup(sockets)
        self._doing = asyncio.create_task(self._chores.run())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the live streams, and answer the requests that have begun."""
        log.info("web.stopping")
        if self._doing is not None:
            self._doing.cancel()
        await self._desk.lives.stop()
        await super().shutdown(sockets)
