"""The story of one job, from what is known of it: when it was enqueued, what was tried, why it waits, and how it was answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from delivery import PREFIX
from workers.lookup.found import Found, in_words, text_of
from workers.redis_state import time_of

__all__ = ["Step", "story"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a job, or will happen."""

    #: RFC 3339; None if nobody has noted when.
    at: str | None
    what: str


def story(found: Found) -> list[Step]:
    """Return what is known of a job, in the order in which it happened."""
    steps = []
    options = found.message.get("options") if found.message else None
    if isinstance(options, dict) and (original_id := text_of(options, "original_id")):
        steps.append(Step(None, f"is the dead letter {original_id}, sent again"))
    if found.message:
        steps.append(Step(time_of(found.message.get("message_timestamp")), "was enqueued"))
    event, data = found.event or {}, _data(found.event)
    attempts = found.attempts or 0
    if attempts:
        steps.append(
            Step(None, "called the API once" if attempts == 1 else f"called the API {attempts:,} times")
        )
    if found.state == "unknown":
        steps.append(
            Step(found.since, "lost the answer of a call, which may or may not have been carried out")
        )
        if found.looks:
            steps.append(Step(None, f"was looked for {found.looks:,} times, and the listing could not tell"))
        steps.append(Step(found.read_back_at, "is looked for again"))
    elif found.state not in {"answered", "dead"}:
        at = found.until if found.state == "delayed" else found.since if found.state != "waiting" else None
        steps.append(Step(at, in_words(found).removeprefix("it ")))
    if event.get("time"):
        steps.append(Step(str(event["time"]), _answer(event, data)))
    if found.state == "dead":
        steps.append(Step(found.since, "is kept as a dead letter, and can be sent again"))
    elif found.state == "answered" and found.reason:
        steps.append(Step(None, found.reason))
    return steps


def _answer(event: dict[str, Any], data: dict[str, Any]) -> str:
    said = f"was answered: {str(event.get('type')).removeprefix(PREFIX)}"
    if data.get("replayed"):
        said += "; it was carried out before, and nothing was sent"
    if data.get("reconciled"):
        said += "; a call's answer had been lost, and the API was asked what had come of it"
    error = data.get("error")
    if isinstance(error, dict):
        code = "" if error.get("code") is None else f" {error['code']}"
        said += f"; {error.get('kind')}{code}: {error.get('message')}"
    return said


def _data(event: dict[str, Any] | None) -> dict[str, Any]:
    data = (event or {}).get("data")
    return data if isinstance(data, dict) else {}
