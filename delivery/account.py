"""The account as Redis keeps it: slots of its pace, and what a call tells of it."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

from coupontools import CoupontoolsError
from delivery.answer import envelope, timestamp
from delivery.ledger import Ledger
from delivery.policy import Policy
from delivery.retry import HOLD_FIRST_SECONDS, Meaning
from delivery.settlement import Event, Signal
from delivery.task import Task, now

__all__ = ["SILENT", "it_works", "take_slot", "trouble"]

#: The call told nothing of the account, or was not made.
SILENT = Signal(word="none")


async def take_slot(ledger: Ledger, policy: Policy) -> None:
    """Reserve a slot of the account's pace for a call that is no job's own, and wait for it."""
    reserved = not policy.interval_us
    while not reserved:
        wait, reserved = await ledger.reserve()
        await asyncio.sleep(wait / 1000)


def it_works(task: Task, *, wary: bool) -> Signal:
    """Return the signal of a call that the API answered; ``wary`` if it may end a hold."""
    if not wary:
        return Signal(word="well")
    return Signal(word="fine", released_event=_released(task))


def trouble(task: Task, meaning: Meaning, error: CoupontoolsError, *, wary: bool) -> Signal:
    """Return the signal of a call that failed with ``error``."""
    pause = round((meaning.pause or 0) * 1000)
    if meaning.signal == "none":
        return Signal(word="none", pause=pause)
    fine = meaning.signal == "well" and wary
    return Signal(
        word="fine" if fine else meaning.signal,
        scope="account" if meaning.scope == "account" else "channel",
        code="" if error.code is None else str(error.code),
        text=error.message,
        took=round((now() - task.cost.call_began) * 1000),
        pause=pause,
        held_event=_held(meaning.scope, error.code, error.message),
        released_event=_released(task),
    )


def _held(scope: str, code: int | None, message: str) -> Event:
    retry_at = timestamp(time.time() + HOLD_FIRST_SECONDS)
    return _event("held", {"scope": scope, "code": code, "message": message, "retry_at": retry_at})


def _released(task: Task) -> dict[str, Event]:
    """Return the event of the account's release, and of the job's channel's."""

    def of(scope: str) -> Event:
        data = {"scope": scope, "code": None, "message": "work goes on", "retry_at": None}
        return _event("released", data)

    return {"account": of("account"), "channel": of(task.job.scope)}


def _event(kind: str, data: dict[str, Any]) -> Event:
    return envelope(f"account.{kind}", event_id=f"account.{kind}/{uuid.uuid4()}", data=data)
