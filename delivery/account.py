"""The account as Redis keeps it: the signals of its calls, and its holds."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from functools import cache
from typing import Any, Final

import structlog

from config import mask_known, redact_text
from config.keys import Keys
from config.names import SCOPES
from coupontools import CoupontoolsError
from delivery.retry import Meaning
from delivery.scripts import SCRIPTS, Script
from delivery.settlement import Changes, Signal
from delivery.task import Task, now

__all__ = [
    "SILENT",
    "found",
    "it_works",
    "listing_trouble",
    "listing_works",
    "pausing",
    "tell",
    "trouble",
    "unparking",
]

log = structlog.get_logger("delivery")

#: The client id or the secret is not correct (the vendor's public error list).
BAD_CREDENTIALS: Final = 1000
#: The call showed nothing about the account, or was not made.
SILENT: Final = Signal(word="none")


def it_works(task: Task) -> Signal:
    """Return the signal of a job's call that the API answered."""
    return Signal(
        word="well", call=task.job.actor, about=task.about, channel=task.job.scope, took=_since_call(task)
    )


def found(task: Task) -> Signal:
    """Return the signal of a lost call that a listing shows: the API carries out calls of this kind, whatever their answers are."""
    return Signal(word="found", call=task.job.actor, about=task.about, channel=task.job.scope)


def listing_works(task: Task) -> Signal:
    """Return the signal of a look-up's listing that was read: the API works, which shows nothing about the job's own kind of call."""
    return Signal(
        word="well", call="read_back", about=task.listing, channel=task.job.scope, took=_since_call(task)
    )


def trouble(task: Task, meaning: Meaning, error: CoupontoolsError) -> Signal:
    """Return the signal of a job's call that failed with ``error``."""
    text = f"{task.job.actor}: {error}" if meaning.signal == "outage" else error.message
    # Mask it here: other processes print it, and they do not know the job.
    text = redact_text(mask_known(text))
    return Signal(
        word=meaning.signal,
        call=task.job.actor,
        about=task.about,
        channel=task.job.scope,
        scope=meaning.scope,
        code="" if error.code is None else str(error.code),
        text=text,
        took=_since_call(task),
        pause=round((meaning.pause or 0) * 1000),
        connect=meaning.connect,
        broken=_broken(task) if meaning.broken else None,
        bare=meaning.bare,
        lost=meaning.lost,
        by_secret=meaning.signal == "refused" and error.code == BAD_CREDENTIALS,
        worker=_worker(),
    )


def _broken(task: Task) -> str:
    """Name the call whose answer could not be read. A read of no subject (`list_groups`) is the same call for all jobs of its kind."""
    return task.about if task.job.effect or task.job.subject else task.message_id


def listing_trouble(task: Task, meaning: Meaning, error: CoupontoolsError) -> Signal:
    """Return the signal of a look-up's listing that could not be read."""
    if meaning.signal == "outage" and not meaning.connect:
        # Only the look-up waits; other kinds of call may go on.
        return SILENT
    return replace(trouble(task, meaning, error), about=task.listing)


def tell(changes: Changes) -> None:
    """Log which holds began and ended."""
    for hold in changes.began:
        code = int(hold["code"]) if hold["code"] else None
        log.warning(
            "account.held", scope=hold["scope"], kind=hold["kind"], code=code, message=hold["message"]
        )
    for hold in changes.ended:
        log.warning("account.released", scope=hold["scope"], kind=hold["kind"])


def unparking(keys: Keys, events_maxlen: int, *, busy: bool) -> tuple[Script, list[str], list[Any]]:
    """Return the script that brings parked messages back, its keys and its arguments; ``busy`` if any message waits or is under way.

    It answers how many messages came back, and the holds that began and ended.
    """
    prefix = keys.queue("").delayed
    return (
        SCRIPTS["unpark"],
        [keys.holds, keys.parked, *_times(keys), keys.troubles, keys.events, keys.workers, keys.heartbeats],
        [events_maxlen, prefix, int(busy)],
    )


def pausing(
    keys: Keys, events_maxlen: int, *, word: str, scope: str, reason: str = ""
) -> tuple[Script, list[str], list[Any]]:
    """Return the script by which an operator holds a scope (``pause``) or lets it go (``resume``), its keys and its arguments.

    It answers 1 if that changed anything.
    """
    return (
        SCRIPTS["pause"],
        [keys.holds, *_times(keys), keys.troubles, keys.events, keys.workers, keys.heartbeats],
        [word, scope, redact_text(reason), _worker(), events_maxlen],
    )


def _times(keys: Keys) -> list[str]:
    return [keys.still, *(keys.held(scope) for scope in SCOPES)]


def _since_call(task: Task) -> int:
    """Return the milliseconds since the job's latest call began; 0 for none."""
    began = task.cost.call_began
    return round((now() - began) * 1000) if began else 0


@cache
def _worker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
