"""A job that ended as unknown, to be called again whatever happened: an operator has looked."""

from __future__ import annotations

from typing import Any

from config.keys import Keys
from delivery.ledger import SCRIPTS
from delivery.scripts import Script
from delivery.task import short_digest

__all__ = ["forgetting"]


def forgetting(keys: Keys, actor: str, key: str) -> tuple[Script, list[str], list[Any]]:
    """Return the script that forgets that a job of this idempotency key ended as unknown, its keys and its arguments.

    It answers 1, or 0 when there is nothing to forget, or when another job of this key is finding out what happened.
    """
    return SCRIPTS["anew"], [keys.record(actor, short_digest(key))], []
