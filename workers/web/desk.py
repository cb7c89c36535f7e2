"""What all pages share: the settings, Redis, the templates, the door, and the notes for somebody's next page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import redis

from config import Settings
from config.keys import Keys
from workers.other_queues import NO_OTHERS, OtherQueues
from workers.web.door import Door
from workers.web.live import Lives
from workers.web.rendering import Templates
from workers.web.workshop import Workshop
from workers.worker_list import account_keys, read_workers

__all__ = ["Desk", "Notes"]

#: The most sessions for which a note is kept.
MOST_NOTES: Final = 1000


class Notes:
    """Sentences about what was done; each is shown once, on the next page of the session that did it."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def leave(self, session: str, text: str) -> None:
        """Keep a sentence for a session; a request without a session has no next page."""
        if not session:
            return
        self._said[session] = text
        while len(self._said) > MOST_NOTES:
            del self._said[next(iter(self._said))]

    def take(self, session: str) -> str:
        """Return what was left for a session, and forget it."""
        return self._said.pop(session, "")


@dataclass(slots=True)
class Desk:
    """What the pages work with."""

    settings: Settings
    client: redis.Redis
    templates: Templates
    door: Door
    workshop: Workshop
    lives: Lives = field(default_factory=Lives)
    notes: Notes = field(default_factory=Notes)
    #: Queues that no worker knows, as the chores have found them.
    others: OtherQueues = NO_OTHERS

    def keys(self) -> Keys:
        """Return the keys of the account that the workers carry out jobs for.

        Raises:
            redis.RedisError: Redis could not be asked.
        """
        return account_keys(self.settings, read_workers(self.client, self.settings))
