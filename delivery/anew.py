"""Sending a dead letter again: its new message id, and the scripts that keep or forget its record, which is unknown."""

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

    The script answers 1, or 0 when there is nothing to forget, or when another job under this key is finding out what happened.
    """
    return SCRIPTS["anew"], [keys.record(actor, short_digest(key))], []


def keeping(keys: Keys, actor: str, key: str) -> tuple[Script, list[str], list[Any]]:
    """Return the script that keeps the record of a job that ended as unknown, its keys and its arguments.

    The script answers 1, or 0 when there is nothing to keep, or the record lives long enough.
    """
    return SCRIPTS["again"], [keys.record(actor, short_digest(key))], [round(UNSETTLED_SECONDS * 1000)]


def retried_as(message_id: str, entry_id: bytes) -> str:
    """Return the message id under which a dead letter is sent again; a look-up by the first id can derive it."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{message_id}\n{entry_id.decode('utf-8', 'replace')}"))
