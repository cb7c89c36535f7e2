"""A way to Redis that a test may cut: it drops the reply of a command after Redis ran it, and closes the connection."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

READ_AT_ONCE = 65536


class RedisProxy:
    """Passes TCP on to the Redis at ``port`` of the loopback address; listens on a port of its own."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="redis-proxy", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()
        self._marks: list[bytes] = []
        #: How many replies were dropped.
        self.dropped = 0
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def drop_reply_to(self, *marks: str) -> None:
        """The reply to the next request that holds ``mark`` (a script's digest, say) never arrives; one request for each mark."""
        with self._lock:
            self._marks += [mark.encode() for mark in marks]

    def waiting(self) -> int:
        """How many marks no request has held yet."""
        with self._lock:
            return len(self._marks)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(timeout=120)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=120)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=120)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._pass_on(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", self._target)
        back = asyncio.create_task(self._bring_back(redis_reader, writer))
        try:
            while data := await reader.read(READ_AT_ONCE):
                if self._is_marked(data):
                    back.cancel()
                    await asyncio.gather(back, return_exceptions=True)
                    redis_writer.write(data)
                    # Redis has run it when its reply is here; the client never sees it.
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

    def _is_marked(self, data: bytes) -> bool:
        with self._lock:
            for mark in self._marks:
                if mark in data:
                    self._marks.remove(mark)
                    return True
        return False
