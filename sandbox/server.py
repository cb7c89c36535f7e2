"""Serves the sandbox: one process, one port; no open request can delay its end."""

import asyncio
import os
import socket
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn

from sandbox.app import create_app
from sandbox.connection import ConnectionProtocol
from sandbox.settings import SandboxConfig

KEEP_ALIVE_SECONDS: Final = 75
_BACKLOG: Final = 2048
_LAST_WORDS_SECONDS: Final = 1.0


class CannotListen(Exception):  # noqa: N818 - says what happened
    """The port is taken, or there is no such host here; the message is a sentence for whoever chose them."""


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    config: SandboxConfig | None = None,
    on_listening: Callable[[str, int], None] | None = None,
    parent_pid: int | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then return; open connections are reset, hanging ones too.

    Port 0 takes a free one. `on_listening` is called with host and real port once connections are
    accepted, before the first is served. With `parent_pid` it also ends when its parent is no longer that process.
    Raises CannotListen if the port cannot be bound.
    """
    with _listener(host, port) as listener:
        if on_listening is not None:
            on_listening(host, listener.getsockname()[1])
        settings = uvicorn.Config(
            create_app(config),
            loop="asyncio",
            http=ConnectionProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        _Server(settings, parent_pid).run([listener])


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # Python repeats the address behind the reason.
        why = (error.strerror or "there is no such host").partition(" (while ")[0]
    except (UnicodeError, TypeError):
        why = "this is no name of a host"
    except OverflowError:
        why = "a port is at most 65535"
    raise CannotListen(f"cannot listen on {host}, port {port}: {why}")


class _Server(uvicorn.Server):
    """uvicorn's server, but it ends at once, and its caller then goes on."""

    def __init__(self, config: uvicorn.Config, parent_pid: int | None) -> None:
        super().__init__(config)
        self._parent_pid = parent_pid

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn calls it so
        # uvicorn would raise the signal again after serving, which kills a command that should exit with 0.
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        # A killed parent cannot stop its child, but the child then has another parent.
        if self._parent_pid is not None and os.getppid() != self._parent_pid:
            return True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - uvicorn calls it so
        # uvicorn would wait for every open request, and a hanging one never ends.
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            if isinstance(connection, ConnectionProtocol):
                connection.reset()
        if tasks := list(self.server_state.tasks):
            await asyncio.wait(tasks, timeout=_LAST_WORDS_SECONDS)
