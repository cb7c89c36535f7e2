"""A dead letter that is sent again: under which id, and whether its unknown end is kept in mind or, if so wanted, forgotten."""

from __future__ import annotations

import uuid
from typing import Any

from config.keys import Keys
from delivery.policy import UNSETTLED_SECONDS
from delivery.scripts import SCRIPTS, Script
from delivery.task import short_digest

__all__ = ["forgetting", "keeping", "retried_as"]


def forgetting(keys: Keys, actor: str, key: str) -> tuple[Script, list[str], list[Any]]:
    """Return the script that forgets that a job of this idempotency key ended as unknown, its keys and its arguments.

    It answers 1, or 0 when there is nothing to forget, or when another job of this key is finding out what happened.
    """
    return SCRIPTS["anew"], [keys.record(actor, short_digest(key))], []


def keeping(keys: Keys, actor: str, key: str) -> tuple[Script, list[str], list[Any]]:
    """Return the script that keeps it in mind that a job of this idempotency key ended as unknown, its keys and its arguments.

    It answers 1, or 0 when there is nothing to keep.
    """
    return SCRIPTS["again"], [keys.record(actor, short_digest(key))], [round(UNSETTLED_SECONDS * 1000)]


def retried_as(message_id: str, entry_id: bytes) -> str:
    """Return the message id under which a dead letter is sent again, so that a look-up by its first id finds the way there."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{message_id}\n{entry_id.decode('utf-8', 'replace')}"))
