"""Now: what stands still and why, the lanes, the pace and the workers; it moves by itself. Pause and resume."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Final

import orjson
import redis
import structlog
from starlette.responses import Response, StreamingResponse

from config import Settings, redact_text
from config.keys import SCOPES
from workers.halts import halts, pace
from workers.pausing import LONGEST_REASON, Word, change_pause, changed_words
from workers.state import State, find_other_queues, read_state
from workers.web.live import TooManyWatch
from workers.web.page import Action, Page, Refused, Visit
from workers.web.rendering import Templates

__all__ = ["PAGE", "Look"]

log = structlog.get_logger("workers.web")

#: Queues that no worker knows are looked for among all keys: so seldom, in seconds.
OTHERS_SECONDS: Final = 600.0
#: The parts of the page that move.
PARTS: Final = ("halts", "figures", "lanes", "workers")


class Look:
    """One look at everything, as the parts of the page that move."""

    def __init__(self, client: redis.Redis, settings: Settings, templates: Templates) -> None:
        self._client = client
        self._settings = settings
        self._templates = templates
        self._others: list[str] = []
        self._others_at = float("-inf")

    def __call__(self) -> dict[str, str]:
        """Return each part; while Redis is away, that it is."""
        try:
            state = self._state()
        except redis.RedisError as error:
            away = f"Redis does not answer: {redact_text(str(error))}"
            return {name: self._part(name, away=away, state=None) for name in PARTS}
        return {name: self._part(name, away="", state=state) for name in PARTS}

    def _state(self) -> State:
        if time.monotonic() - self._others_at > OTHERS_SECONDS:
            self._others = find_other_queues(self._client, self._settings)
            self._others_at = time.monotonic()
        return read_state(self._client, self._settings, self._others)

    def _part(self, name: str, *, away: str, state: State | None) -> str:
        silence = self._settings.worker_heartbeat_seconds
        sentences = [away] if state is None else halts(state, silence)
        if state is not None and not state.workers:
            sentences.append("no worker is running")
        return self._templates.part(
            "now_parts.html",
            name,
            halts=sentences,
            state=state,
            silence=silence,
            pace=pace(state) if state else "",
        )


def _show(visit: Visit) -> Response:
    seen = datetime.now(UTC).strftime("%H:%M:%S")
    return visit.page(
        "now.html", parts=visit.desk.live.look(), seen=seen, scopes=SCOPES, longest_reason=LONGEST_REASON
    )


async def _live(visit: Visit) -> Response:
    """Return the stream of what has changed, as server-sent events; a beat tells that nothing has."""
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
