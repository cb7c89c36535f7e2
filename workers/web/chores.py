"""What the page's process does by itself, whether anybody looks or not."""

from __future__ import annotations

import asyncio
from typing import Final

import redis
import structlog

from config import redact_text
from config.keys import Keys
from workers.history import note_ages
from workers.other_queues import find_other_queues
from workers.state import read_state
from workers.web.desk import Desk

__all__ = ["Chores"]

log = structlog.get_logger("workers.web")

SECONDS: Final = 60.0
#: How many rounds there are from one search of all keys, for queues that no worker knows, to the next.
ROUNDS_TO_A_SEARCH: Final = 10


class Chores:
    """Notes once a minute how old the oldest job is, which nothing else remembers, and now and then looks for queues that nobody serves."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._round = 0

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.do)
            except (redis.RedisError, OSError) as error:
                log.warning("web.not_noted", error=redact_text(str(error)))
            except Exception:
                log.exception("web.failed", path="")
            await asyncio.sleep(SECONDS)

    def do(self) -> None:
        """Do the chores once.

        Raises:
            redis.RedisError: Redis could not be asked, or takes no writes.
        """
        client, settings = self._desk.client, self._desk.settings
        if self._round % ROUNDS_TO_A_SEARCH == 0:
            # The search takes up to a second, too long for somebody who waits for a page.
            self._desk.others = find_other_queues(client, settings)
        self._round += 1
        note_ages(client, Keys.of(settings), read_state(client, settings).queues)
