"""Batches as Redis keeps them: their size, their counts, and what was cancelled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from config.keys import Keys
from delivery.policy import Policy
from delivery.scripts import SCRIPTS, Script
from delivery.task import short_digest

__all__ = ["batch_key", "batch_life_ms", "cancelled_field", "cancelling", "is_cancelled", "sizing"]


def batch_key(keys: Keys, batch_id: str) -> str:
    """Return the key of a batch's counts; see batch.lua for its fields."""
    return keys.batch(short_digest(batch_id))


def batch_life_ms(policy: Policy) -> int:
    """Return how long the counts of a batch are kept, in milliseconds, while answers are awaited: its jobs may wait in a hold."""
    return round(policy.unsettled * 1000)


def sizing(keys: Keys, policy: Policy, batch_id: str, size: int) -> tuple[Script, list[str], list[Any]]:
    """Return the script that notes how many jobs a batch has, its keys and its arguments."""
    digest = short_digest(batch_id)
    return (
        SCRIPTS["size"],
        [keys.batch(digest), keys.batches, keys.events],
        [batch_id, digest, size, round(policy.ttl * 1000), batch_life_ms(policy), policy.events_maxlen],
    )


def cancelled_field(batch_id: str) -> str:
    """Return the field of ``Keys.cancelled`` that marks a batch; see `is_cancelled`."""
    return f"b:{batch_id}"


def is_cancelled(mark: bytes | None, began_at: float) -> bool:
    """Return whether the ``mark`` of a cancelled batch catches jobs that are sent now.

    ``began_at`` is when the batch's counts began, now if it has none; both in Unix milliseconds. See cancelled.lua for other jobs.
    """
    # A stranger may have written something that is no time.
    return mark is not None and began_at <= (int(mark) if mark.isdigit() else 0)


def cancelling(
    keys: Keys, policy: Policy, *, messages: Iterable[str] = (), batch_id: str | None = None
) -> tuple[Script, list[str], list[Any]]:
    """Return the script that marks messages, or a whole batch, as cancelled, its keys and its arguments.

    It answers how many marks were new.
    """
    marks = [f"m:{message}" for message in messages] + ([cancelled_field(batch_id)] if batch_id else [])
    counts = batch_key(keys, batch_id) if batch_id else keys.none
    return SCRIPTS["cancel"], [keys.cancelled, counts], [round(policy.ttl * 1000), *marks]
