"""Which clients the receiver cuts off, tested on one connection on the test's own loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from uvicorn.server import ServerState

from tests.harness import wait_for
from workers.http_server import server_config
from workers.receiver import connections
from workers.receiver.connections import Connection, Connections

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def ok(_scope: Any, _receive: Any, send: Any) -> None:
    """An application that answers every request with ok."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def connected(most: int = 10) -> AsyncIterator[tuple[Connections, socket.socket]]:
    """Yield all connections of a server, and a client of it; both have small buffers."""
    every = Connections(most)
    config = server_config(
        ok, backlog=10, keep_alive_seconds=30, drain_seconds=5, http=partial(Connection, every)
    )
    config.load()
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        server = await loop.create_server(
            lambda: Connection(every, config, ServerState(), {}), sock=listening
        )
        try:
            async with asyncio.timeout(120):
                await loop.sock_connect(client, listening.getsockname())
                yield every, client
        finally:
            server.close()


async def asking_for_ever(client: socket.socket) -> None:
    """Send one request after the other until the connection is closed."""
    while True:
        await asyncio.get_running_loop().sock_sendall(client, REQUEST * 100)


async def test_whoever_leaves_its_answers_unread_is_cut_off() -> None:
    loop = asyncio.get_running_loop()
    async with connected() as (_, client):
        await loop.sock_sendall(client, REQUEST)
        assert (await loop.sock_recv(client, 4096)).startswith(b"HTTP/1.1 200 OK\r\n")
        with pytest.raises(ConnectionError):
            await asking_for_ever(client)


async def test_whose_request_is_late_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    async with connected() as (every, client):
        await loop.sock_sendall(client, REQUEST)
        answer = b""
        while b"\r\n\r\nok" not in answer:
            answer += await loop.sock_recv(client, 4096)
        await loop.sock_sendall(client, REQUEST[:-2])
        await asyncio.to_thread(wait_for, lambda: [one for one in [*every._waiting] if one.began])
        every.close_late()
        assert every.take_closed() == 0
        monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.0)
        every.close_late()
        assert every.take_closed() == 1
        assert await loop.sock_recv(client, 4096) == b""
