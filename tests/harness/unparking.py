"""The caretaker's script for holds, run once."""

from __future__ import annotations

import redis

from config.keys import Keys
from delivery import unparking
from workers.redis_link import ThreadRunner


def unpark(client: redis.Redis, keys: Keys, *, busy: bool = True) -> int:
    """Run the script that brings parked messages back; return how many came back."""
    moved, _ = ThreadRunner(client).run(*unparking(keys, 1000, busy=busy))
    return int(moved)
