"""Says what stands still and why, and how fast the rest goes, in words that `status` and the operators' page share."""

from __future__ import annotations

from typing import Final

from workers.state import HoldState, State

__all__ = ["halts", "held", "pace"]

#: The words for each kind of hold.
WHY: Final = {
    "refused": "refused",
    "outage": "the API does not answer",
    "asked": "the API asks for a pause",
    "paused": "paused by an operator",
}


def halts(state: State) -> list[str]:
    """Return a sentence for everything that stands still or may: holds first, then queues with work that no worker takes, then Redis.

    A silent worker takes nothing. The sentences contain texts of the API and of operators as they are.
    """
    sentences = held(state)
    if unserved := state.unserved():
        sentences.append(f"no worker takes what waits in {', '.join(unserved)}")
    return sentences + state.redis.problems + state.redis.warnings


def held(state: State) -> list[str]:
    """Return a sentence for each hold, with texts as in `halts`."""
    return [_of_hold(hold) for hold in state.holds]


def _of_hold(hold: HoldState) -> str:
    code = "" if hold.code is None else f" (code {hold.code})"
    until = f"; next try {hold.retry_at}" if hold.retry_at else ""
    since = f" since {hold.since}" if hold.since else ""
    why = WHY.get(hold.kind, hold.kind)
    return f"{hold.scope} held{since}, {why} ({hold.worker}): {hold.message}{code}{until}"


def pace(state: State) -> str:
    """Return the account's pace, and how much of it the answers of the last one or two minutes make up."""
    answered = sum(queue.per_minute for queue in state.queues.values())
    if not state.rate:
        return f"no limit, {answered / 60:,.1f} answers a second"
    return f"{state.rate:g} requests a second, {answered / 60:,.1f} answers a second ({answered / 60 / state.rate:.0%})"
