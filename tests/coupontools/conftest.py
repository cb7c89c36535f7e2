"""A hand-written server for what no well-behaved server does, and a client that talks to it."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from coupontools import Coupontools

SECRET = "s3cr3t-of-the-account"
DEADLINE = 60.0


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return uvloop, on which workers call the API: it reports lost connections in its own way."""
    try:
        import uvloop  # noqa: PLC0415 - not everywhere
    except ImportError:
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


@dataclass
class Received:
    """One request as the server saw it."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Peer:
    """One connection, seen from the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    wire: "Wire"

    async def request(self) -> Received | None:
        """Read one whole request; None when the client has closed the connection."""
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError as ended:
            self.wire.stray_bytes += len(ended.partial)
            return None
        line, *fields = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        received = Received(line.split(" ")[1], headers, body)
        self.wire.requests.append(received)
        return received

    async def send(self, data: bytes) -> None:
        if self.writer.is_closing():
            # uvloop raises a RuntimeError if the connection was lost some turns of the loop ago.
            raise ConnectionResetError("the client has gone")
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST instead of FIN: pending data is thrown away at both ends."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class Wire:
    """A server on a port of the system's choice that follows a script for each connection."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    stray_bytes: int = 0
    """Bytes of requests that never became whole."""
    faults: list[BaseException] = field(default_factory=list)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, script: Script, *, receive_buffer: int | None = None) -> str:
        """Start following a script; return the server's address."""

        async def follow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            self._writers.append(writer)
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await script(Peer(reader, writer, self))
            except (ConnectionError, asyncio.CancelledError):
                pass  # the client has gone, or the test is over
            except BaseException as fault:
                self.faults.append(fault)
            finally:
                writer.close()
                self._tasks.discard(task)

        listener = socket.socket()
        if receive_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        listener.bind(("127.0.0.1", 0))
        server = await asyncio.start_server(follow, sock=listener)
        self._servers.append(server)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        return self.url

    async def answer(self, *answers: bytes) -> str:
        """Answer each request with the next of these answers, and all later requests with the last one."""
        left = list(answers)

        async def script(peer: Peer) -> None:
            while await peer.request() is not None:
                await peer.send(left.pop(0) if len(left) > 1 else left[0])

        return await self.serve(script)

    @staticmethod
    def http(status: int, body: Any = b"", headers: Iterable[tuple[str, str]] = ()) -> bytes:
        """Write an answer; a body that is not bytes is written as JSON."""
        document = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers)]
        if not any(name.lower() in {"content-length", "transfer-encoding"} for name, _ in headers):
            lines.append(f"Content-Length: {len(document)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + document

    @staticmethod
    async def until(condition: Callable[[], bool]) -> None:
        """Wait for a condition, with a deadline."""
        async with asyncio.timeout(DEADLINE):
            while not condition():  # noqa: ASYNC110 - the condition may be anything, an Event may not
                await asyncio.sleep(0.005)

    def is_over(self) -> bool:
        """Return whether every script that began has ended."""
        return not self._tasks

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        for writer in self._writers:
            # asyncio fails if a connection is aborted that was closed and has sent everything.
            if not writer.is_closing() or writer.transport.get_write_buffer_size():
                writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            with suppress(ConnectionError):
                await writer.wait_closed()
        for server in self._servers:
            await server.wait_closed()
        assert not self.faults, self.faults


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    server = Wire()
    yield server
    await server.stop()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Coupontools]]:
    """Make clients that are closed when the test ends."""
    clients: list[Coupontools] = []

    def make(url: str, **settings: Any) -> Coupontools:
        settings.setdefault("timeout", DEADLINE)
        settings.setdefault("connect_timeout", DEADLINE)
        credentials = {"client_id": "the-id", "client_secret": SECRET}
        clients.append(Coupontools(base_url=url, **(credentials | settings)))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
def secret() -> str:
    return SECRET
