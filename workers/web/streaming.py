"""Live updates as server-sent events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import orjson
from starlette.responses import Response, StreamingResponse

from workers.web.page import Refused, Visit

__all__ = ["stream"]


async def stream(visit: Visit, name: str, look: Callable[[], dict[str, str]]) -> Response:
    """Return the stream of changed parts, one event for each look, until the session ends; an event's id is the time (UTC).

    Streams of one ``name`` share their looks. An event without parts shows that nothing has changed and the server is alive.

    Raises:
        Refused: too many watch, or the server is stopping.
    """
    if visit.request.method == "HEAD":
        return Response(media_type="text/event-stream")
    watch = visit.desk.lives.of(name, look).watch()
    try:
        first = await anext(watch)
    except StopAsyncIteration:
        raise Refused(503, "the server is stopping") from None

    async def told() -> AsyncIterator[bytes]:
        before: dict[str, str] = {}
        seen = first
        try:
            while time.time() < visit.who.ends:
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
