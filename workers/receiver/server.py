"""Serves the receiver in one small process until SIGTERM, then answers every request that has begun."""

from __future__ import annotations

import asyncio
import resource
import socket
from functools import partial
from importlib.metadata import version
from typing import Final

import structlog
import uvicorn

from config import Settings
from config.keys import Keys
from workers.http_server import StoppableServer, listener, server_config
from workers.receiver.app import create_app
from workers.receiver.connections import REQUEST_SECONDS, Connection, Connections
from workers.receiver.intake import Intake
from workers.redis_link import sync_client

__all__ = ["serve"]

log = structlog.get_logger("workers.receiver")

#: The most connections at a time, and how many more may wait in the kernel. asyncio accepts all that wait at once, and up to BACKLOG more
#: before it closes the connections that must make room; together they must stay below 1,024, the usual limit of a process's open files.
MOST_CONNECTIONS: Final = 500
BACKLOG: Final = 128
#: How long the last answers may take to be written after the time to drain, in seconds. uvicorn then cancels the rest, with a traceback.
LAST_ANSWERS_SECONDS: Final = 5.0
#: The server looks for late requests once in this many ticks of uvicorn's, which come ten times a second.
TICKS_TO_A_LOOK: Final = 10


def serve(settings: Settings, *, host: str, port: int) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then answer the requests that have begun, and return. Port 0 takes a free port.

    Raises:
        workers.http_server.CannotListen: the port cannot be bound.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = Connections(min(MOST_CONNECTIONS, files // 2))
    with listener(host, port, backlog=BACKLOG) as listening, sync_client(settings.redis_url) as client:
        intake = Intake(client, Keys.of(settings))
        config = server_config(
            create_app(settings.receiver_token.get_secret_value(), intake),
            backlog=BACKLOG,
            keep_alive_seconds=int(REQUEST_SECONDS),
            drain_seconds=settings.shutdown_seconds + LAST_ANSWERS_SECONDS,
            http=partial(Connection, connections),
        )
        address = listening.getsockname()
        log.info("receiver.started", host=host, port=address[1], version=version("coupontools-worker"))
        _Server(config, connections, intake, settings.shutdown_seconds).run([listening])
    log.info("receiver.stopped")


class _Server(StoppableServer):
    """Closes requests that are late."""

    def __init__(
        self, config: uvicorn.Config, connections: Connections, intake: Intake, shutdown_seconds: float
    ) -> None:
        super().__init__(config)
        self._connections = connections
        self._intake = intake
        self._shutdown_seconds = shutdown_seconds

    async def on_tick(self, counter: int) -> bool:
        """Look after the connections. Return whether to stop."""
        if counter % TICKS_TO_A_LOOK == 0:
            self._connections.close_late()
            if closed := self._connections.take_closed():
                log.warning("requests.closed", requests=closed, reason="late, or there were too many at once")
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer the requests that have begun.

        After the time to drain, close those that are not whole, and answer 503 to those that wait for Redis.
        """
        log.info("receiver.stopping")
        loop = asyncio.get_running_loop()
        loop.call_later(self._shutdown_seconds, self._connections.close_unfinished)
        loop.call_later(self._shutdown_seconds, self._intake.give_up)
        await super().shutdown(sockets)
