"""Queues that no worker of ours knows, such as one that a producer has misspelt: their jobs would wait unseen until their deadline."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config import Settings
from config.names import QUEUES

if TYPE_CHECKING:
    import redis

__all__ = ["NO_OTHERS", "OtherQueues", "find_other_queues"]

#: Keys that Redis looks at in one step, which takes it about a millisecond; and how long all steps may take, in seconds.
KEYS_A_STEP = 5000
LOOKING_SECONDS = 1.0
#: The ends of the names of hashes with messages: waiting ones, those that stock producers delayed, and dead letters.
_BODIES = re.compile(r"(\.DQ|\.XQ)?\.msgs$")


@dataclass(frozen=True, slots=True)
class OtherQueues:
    """The names of queues that have messages and that no worker knows."""

    names: tuple[str, ...] = ()
    #: Whether all keys were looked at. In a database that holds too many, some queues may not be found.
    whole: bool = True


NO_OTHERS = OtherQueues()


def find_other_queues(client: redis.Redis, settings: Settings) -> OtherQueues:
    """Return the queues that have messages and that this release does not know.

    Looks through all keys, in bounded steps and for a bounded time, up to a second: too slow to be called often.
    """
    from redis.exceptions import NoPermissionError  # noqa: PLC0415 - whoever calls this has loaded it

    namespace = settings.broker_namespace
    pattern = re.sub(r"([\[\]*?^\\])", r"\\\1", namespace) + ":*.msgs"
    found: set[str] = set()
    cursor, began = 0, time.monotonic()
    while True:
        try:
            answer: Any = client.scan(cursor, match=pattern, count=KEYS_A_STEP, _type="hash")
        except NoPermissionError:
            return NO_OTHERS
        cursor, names = answer
        found.update(_BODIES.sub("", name.decode("utf-8", "replace")) for name in names)
        if not cursor or time.monotonic() - began > LOOKING_SECONDS:
            break
    names = {name.removeprefix(f"{namespace}:") for name in found}.difference(QUEUES)
    return OtherQueues(tuple(sorted(names)), whole=not cursor)
