"""Now: what stands still and why, the lanes, the pace and the workers, updated live; pause and resume."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

import redis
import structlog
from starlette.responses import Response

from config.names import SCOPES
from config.plain_words import no_such
from workers.halts import halts, pace
from workers.pausing import LONGEST_REASON, Word, change_pause, changed_words
from workers.redis_link import trouble_of
from workers.state import State, read_state
from workers.web.desk import Desk
from workers.web.live import stream
from workers.web.page import Action, Page, Refused, Visit
from workers.worker_list import AccountUnknown

__all__ = ["PAGE", "look"]

log = structlog.get_logger("workers.web")

#: The parts of the page that are updated live.
PARTS: Final = ("halts", "figures", "lanes", "workers")


def look(desk: Desk) -> dict[str, str]:
    """Look at everything, and return each part; while Redis is away, each says so."""
    state: State | None = None
    try:
        state = read_state(desk.client, desk.settings, desk.others)
    except redis.RedisError as error:
        sentences = [trouble_of(error)]
    else:
        sentences = halts(state) + ([] if state.workers else ["no worker is running"])
    told = {"halts": sentences, "state": state, "pace": pace(state) if state else ""}
    return {name: desk.templates.part("now_parts.html", name, **told) for name in PARTS}


def _show(visit: Visit) -> Response:
    seen = datetime.now(UTC).strftime("%H:%M:%S")
    return visit.page(
        "now.html", parts=look(visit.desk), seen=seen, scopes=SCOPES, longest_reason=LONGEST_REASON
    )


async def _live(visit: Visit) -> Response:
    live = visit.desk.lives.of("now", partial(look, visit.desk))
    return await stream(live, visit.request, visit.who, visit.desk.door.sessions)


def _changes(word: Word) -> Callable[[Visit], Response]:
    def change(visit: Visit) -> Response:
        scope, reason = visit.given("scope"), visit.given("reason")
        if scope not in SCOPES:
            raise Refused(400, no_such("scope", scope, SCOPES))
        if len(reason) > LONGEST_REASON:
            raise Refused(400, f"a reason has at most {LONGEST_REASON} characters")
        try:
            changed = change_pause(
                visit.desk.client, visit.desk.settings, word, scope, reason or "paused by an operator"
            )
        except AccountUnknown as error:
            return visit.go("/", f"Nothing was done: {error}.")
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
