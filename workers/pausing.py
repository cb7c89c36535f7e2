"""Sets and ends an operator's hold, by one script for the command line and the operators' page."""

from __future__ import annotations

from typing import Final, Literal

import redis

from config import Settings
from delivery import pausing
from workers.redis_link import ThreadRunner
from workers.worker_list import known_account_keys, read_workers

__all__ = ["LONGEST_REASON", "Word", "change_pause", "changed_words"]

#: In characters.
LONGEST_REASON: Final = 500
Word = Literal["pause", "resume"]


def change_pause(client: redis.Redis, settings: Settings, word: Word, scope: str, reason: str = "") -> bool:
    """``pause`` or ``resume`` a scope of the account that the workers carry out jobs for. Return whether that changed anything.

    Raises:
        AccountUnknown: the account is not known; nothing was changed.
        redis.RedisError: Redis could not be asked.
    """
    keys = known_account_keys(settings, read_workers(client, settings))
    script = pausing(keys, settings.events_maxlen, word=word, scope=scope, reason=reason)
    return bool(ThreadRunner(client).run(*script))


def changed_words(word: Word, scope: str, *, changed: bool) -> str:
    """Return the result in words."""
    if word == "pause":
        return f"{scope} is paused" if changed else f"{scope} was paused already"
    # Do not say that work goes on: there may be other holds.
    return f"the pause of {scope} is over" if changed else f"{scope} was not paused"
