"""Now: what stands still and why, the lanes, the pace and the workers, updated live; pause and resume."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog
from starlette.responses import Response

from config.names import SCOPES
from config.plain_words import no_such
from workers.pausing import LONGEST_REASON, Word, change_pause, changed_words
from workers.web.page import Action, Page, Refused, Visit
from workers.web.streaming import stream
from workers.worker_list import AccountUnknown

__all__ = ["PAGE"]

log = structlog.get_logger("workers.web")


def _show(visit: Visit) -> Response:
    seen = datetime.now(UTC).strftime("%H:%M:%S")
    return visit.page(
        "now.html", parts=visit.desk.look(), seen=seen, scopes=SCOPES, longest_reason=LONGEST_REASON
    )


async def _live(visit: Visit) -> Response:
    return await stream(visit, "now", visit.desk.look)


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
