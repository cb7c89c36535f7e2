"""Live updates as server-sent events: while anybody watches, one reader looks once a second, and all watchers get what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from workers.http_server import Refused
from workers.web.sessions import Session, Sessions

__all__ = ["Live", "Lives", "stream"]

log = structlog.get_logger("workers.web")

#: How often the reader looks, in seconds. Watchers hear of every look, changed or not, so that they notice when the looks stop.
SECONDS: Final = 1.0
#: The most watchers of one reader; each holds a connection.
MOST_WATCHERS: Final = 100


class Live:
    """Gives every look to all watchers, in named parts; ``look`` asks Redis, so it runs in a thread."""

    def __init__(self, look: Callable[[], dict[str, str]], *, stopped: bool) -> None:
        self._look = look
        self._watchers = 0
        self._number = 0
        self._seen: dict[str, str] = {}
        self._changed = asyncio.Condition()
        self._reader: asyncio.Task[None] | None = None
        self._stopped = stopped

    @property
    def is_watched(self) -> bool:
        """Return whether anybody watches."""
        return self._watchers > 0

    async def watch(self) -> AsyncGenerator[dict[str, str]]:
        """Yield what each look has shown, until the server stops.

        Raises:
            Refused: MOST_WATCHERS watch already.
        """
        if self._watchers >= MOST_WATCHERS:
            raise Refused(503, "too many pages are open; reload to see what is new", retry_after="60")
        self._watchers += 1
        try:
            if self._reader is None:
                self._reader = asyncio.create_task(self._read())
            number = 0
            while not self._stopped:
                async with self._changed:
                    await self._changed.wait_for(lambda: self._stopped or self._number > number)  # noqa: B023 - awaited here
                    number, seen = self._number, self._seen
                if not self._stopped:
                    yield seen
        finally:
            self._watchers -= 1

    async def stop(self) -> None:
        """End every watch; a server that stops would otherwise wait for them."""
        self._stopped = True
        async with self._changed:
            self._changed.notify_all()
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader

    async def _read(self) -> None:
        try:
            while self._watchers:
                try:
                    seen = await asyncio.to_thread(self._look)
                except Exception:
                    # Watchers notice the silence, and hear again of the first look that does not fail.
                    log.exception("web.failed", path="/live")
                else:
                    async with self._changed:
                        self._number, self._seen = self._number + 1, seen
                        self._changed.notify_all()
                await asyncio.sleep(SECONDS)
        finally:
            self._reader = None


class Lives:
    """One reader for each of many pages, by name; each is kept while somebody watches."""

    def __init__(self) -> None:
        self._of: dict[str, Live] = {}
        self._stopped = False

    def of(self, name: str, look: Callable[[], dict[str, str]]) -> Live:
        """Return the reader of this name."""
        self._of = {known: live for known, live in self._of.items() if live.is_watched}
        return self._of.setdefault(name, Live(look, stopped=self._stopped))

    async def stop(self) -> None:
        """End every watch, also of readers that are asked for later."""
        self._stopped = True
        for live in self._of.values():
            await live.stop()


async def stream(live: Live, request: Request, who: Session, sessions: Sessions) -> Response:
    """Return the looks as server-sent events with the changed parts, until the session ends; an event's id is the time (UTC).

    An event without parts shows that nothing has changed and the server is alive.

    Raises:
        Refused: too many watch, or the server is stopping.
    """
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    watch = live.watch()
    try:
        first = await anext(watch)
    except StopAsyncIteration:
        raise Refused(503, "the server is stopping") from None

    async def told() -> AsyncIterator[bytes]:
        before: dict[str, str] = {}
        seen = first
        try:
            while sessions.lasts(who):
                new = {name: text for name, text in seen.items() if before.get(name) != text}
                clock = time.strftime("%H:%M:%S", time.gmtime()).encode()
                yield b"data: " + orjson.dumps(new) + b"\nid: " + clock + b"\n\n"
                before = seen
                seen = await anext(watch)
        except StopAsyncIteration:
            return
        finally:
            await watch.aclose()

    # Without this header nginx would buffer the events.
    return StreamingResponse(told(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
