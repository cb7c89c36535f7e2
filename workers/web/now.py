"""Now: what stands still and why, the lanes, the pace and the workers; it moves by itself. Pause and resume."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Final

import orjson
import structlog
from starlette.responses import Response, StreamingResponse

from config.keys import SCOPES
from workers.pausing import LONGEST_REASON, Word, change_pause, changed_words
from workers.web.live import TooManyWatch
from workers.web.page import Action, Page, Refused, Visit

__all__ = ["PAGE"]

log = structlog.get_logger("workers.web")


def _show(visit: Visit) -> Response:
    seen = datetime.now(UTC).strftime("%H:%M:%S")
    return visit.page(
        "now.html", parts=visit.desk.look(), seen=seen, scopes=SCOPES, longest_reason=LONGEST_REASON
    )


async def _live(visit: Visit) -> Response:
    """Return the stream of what has changed, as server-sent events; a beat tells that nothing has."""
    if visit.request.method == "HEAD":
        return Response(media_type="text/event-stream")
    watch = visit.desk.live.watch()
    try:
        first = await anext(watch)
    except TooManyWatch:
        raise Refused(503, "too many pages are open; reload to see what is new", retry_after="60") from None
    except StopAsyncIteration:
        raise Refused(503, "the server is stopping") from None

    async def told() -> AsyncIterator[bytes]:
        before: dict[str, str] = {}
        seen = first
        try:
            while time.time() < visit.who.ends:
                new = {name: text for name, text in seen.items() if before.get(name) != text}
                yield b"data: " + orjson.dumps(new) + b"\n\n"
                before = seen
                seen = await anext(watch)
        except StopAsyncIteration:
            return
        finally:
            await watch.aclose()

    # nginx would keep what it is given until it has enough of it.
    return StreamingResponse(told(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _changes(word: Word) -> Callable[[Visit], Response]:
    def change(visit: Visit) -> Response:
        scope, reason = visit.given("scope"), visit.given("reason")
        if scope not in SCOPES:
            raise Refused(400, f"there is no scope {scope[:100]!r}; known are {', '.join(SCOPES)}")
        if len(reason) > LONGEST_REASON:
            raise Refused(400, f"a reason has at most {LONGEST_REASON} characters")
        changed = change_pause(
            visit.desk.client, visit.desk.settings, word, scope, reason or "paused by an operator"
        )
        log.info("web.acted", action=word, scope=scope, reason=reason or None, changed=changed)
        return visit.go("/", changed_words(word, scope, changed=changed))

    return change


PAGE: Final = Page(
    "Now",
    "/",
    {
        "/": {"GET": Action(_show)},
        "/live": {"GET": Action(_live)},
        "/pause": {"POST": Action(_changes("pause"))},
        "/resume": {"POST": Action(_changes("resume"))},
    },
)
