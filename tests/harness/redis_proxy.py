"""A proxy in front of Redis: a test may have it drop a connection with the reply of a command that ran, or answer an error instead."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

READ_AT_ONCE = 65536
#: How long closing waits, in seconds, for connections that wait for Redis, which may be frozen.
CLOSING_SECONDS = 5.0
#: Requests that set up the connection or a transaction, so no error may take their place.
OF_THE_CONNECTION = frozenset({"auth", "hello", "client", "select", "multi", "exec", "discard", "watch"})


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole requests at the beginning of ``data``, and the rest."""
    requests, begin, at = [], 0, 0
    while (end := data.find(b"\r\n", at)) != -1:
        for _ in range(int(data[at + 1 : end])):
            at, end = end + 2, data.find(b"\r\n", end + 2)
            if end == -1:
                return requests, data[begin:]
            end += 2 + int(data[at + 1 : end])
        if len(data) < end + 2:
            break
        at = end + 2
        requests.append(data[begin:at])
        begin = at
    return requests, data[begin:]


def kind_of(request: bytes) -> str:
    """Return the command; for a script that is run by its digest, the digest."""
    words = request.split(b"\r\n", 5)
    command = words[2].decode().lower()
    return words[4].decode() if command in {"evalsha", "evalsha_ro"} else command


def failing(error: str) -> bytes:
    """Return a request that Redis answers with ``error``, in its turn."""
    words = ("EVAL", "return redis.error_reply(ARGV[1])", "0", error)
    return b"".join(
        [b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)]
    )


class RedisProxy:
    """Passes TCP on to the Redis at ``port`` of the loopback address; listens on a port of its own."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="redis-proxy", daemon=True)
        #: The client's socket of each connection that is passed on.
        self._serving: dict[asyncio.Task[None], socket.socket] = {}
        self._lock = threading.Lock()
        self._marks: list[bytes] = []
        self._errors: dict[str, str] = {}
        #: The kinds of all requests: commands, and the digests of scripts.
        self.kinds: set[str] = set()
        #: How many requests of each kind were answered with an error.
        self.refused: Counter[str] = Counter()
        #: How many replies were dropped.
        self.dropped = 0
        self.port = 0

    @property
    def url(self) -> str:
        """The address at which it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def drop_reply_to(self, *marks: str) -> None:
        """Drop the reply to the next request that contains a mark or is of that kind; one request for each mark."""
        with self._lock:
            self._marks += [mark.encode() for mark in marks]

    @contextmanager
    def answering(self, kind: str, error: str) -> Iterator[None]:
        """Answer each request of this kind with ``error`` inside the block; Redis never sees it."""
        self._errors[kind] = error
        try:
            yield
        finally:
            del self._errors[kind]

    def reset_connections(self) -> None:
        """Reset each connection, as load balancers do with idle ones."""

        def reset() -> None:
            for task, client in self._serving.items():
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                task.cancel()

        self._loop.call_soon_threadsafe(reset)

    def waiting(self) -> list[str]:
        """Return the marks that no request has contained yet."""
        with self._lock:
            return [mark.decode() for mark in self._marks]

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._thread.start()
        self._loop.call_soon_threadsafe(self._loop.add_reader, self._listener, self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=120)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=120)
        self._loop.close()

    async def _close(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for client in self._serving.values():
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        # Do not cancel them at once: a task that is connecting to Redis would leave its socket open.
        if serving := set(self._serving):
            _, waiting = await asyncio.wait(serving, timeout=CLOSING_SECONDS)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _accept(self) -> None:
        """Take a connection. asyncio's own servers lose one that comes while they close."""
        with suppress(BlockingIOError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            self._serving[self._loop.create_task(self._serve(client))] = client

    async def _serve(self, client: socket.socket) -> None:
        task = asyncio.current_task()
        assert task is not None
        reader, writer = await asyncio.open_connection(sock=client)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._pass_on(reader, writer)
        finally:
            del self._serving[task]
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", self._target)
        back = asyncio.create_task(self._bring_back(redis_reader, writer))
        rest = b""
        try:
            while read := await reader.read(READ_AT_ONCE):
                requests, rest = split(rest + read)
                data = b"".join(map(self._as_told, requests))
                if self._is_marked(data, {kind_of(request).encode() for request in requests}):
                    back.cancel()
                    await asyncio.gather(back, return_exceptions=True)
                    redis_writer.write(data)
                    # When the reply is here, Redis has run the command; the client never sees the reply.
                    await redis_reader.read(1)
                    self.dropped += 1
                    return
                redis_writer.write(data)
                await redis_writer.drain()
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            redis_writer.transport.abort()

    @staticmethod
    async def _bring_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(READ_AT_ONCE):
            writer.write(data)
            await writer.drain()
        writer.close()

    def _as_told(self, request: bytes) -> bytes:
        kind = kind_of(request)
        if kind in OF_THE_CONNECTION:
            return request
        self.kinds.add(kind)
        if error := self._errors.get(kind):
            self.refused[kind] += 1
            return failing(error)
        return request

    def _is_marked(self, data: bytes, kinds: set[bytes]) -> bool:
        with self._lock:
            for mark in self._marks:
                if mark in data or mark in kinds:
                    self._marks.remove(mark)
                    return True
        return False
