"""Notices that Redis has forgotten what it had confirmed."""

from __future__ import annotations

import redis
import structlog

from workers.broker.durable import DurableBroker
from workers.broker.scripts import SCRIPTS
from workers.redis_link import ThreadRunner

__all__ = ["Memory"]

log = structlog.get_logger("workers.redis")

#: How long the number of a worker that is gone stays, and how long a loss is on show.
KEPT_MS = 86400 * 1000
SHOWN_MS = 7 * 86400 * 1000


class Memory:
    """A number that grows with each heartbeat. If Redis has a smaller one, or none, it has lost what was written in between.

    Whoever asks Redis alone sees nothing wrong: jobs are gone, or carried out again, without a line.
    """

    def __init__(self, broker: DurableBroker, client: redis.Redis, heartbeat_seconds: float) -> None:
        self._keys = [broker.keys.memory(broker.broker_id), broker.keys.forgot]
        self._runner = ThreadRunner(client)
        self._one_loss_ms = round(heartbeat_seconds * 1000)
        self._surely = 0

    def look(self) -> None:
        """Compare the number with that of the last look, and write the next.

        Raises:
            redis.RedisError: Redis could not be asked; the number may have been written or not.
        """
        following = self._surely + 1
        arguments = [self._surely, following, KEPT_MS, self._one_loss_ms, SHOWN_MS]
        if self._runner.run(SCRIPTS["memory"], self._keys, arguments):
            log.critical(
                "redis.forgot", problem="what this worker wrote at its last heartbeat is gone or older"
            )
        self._surely = following
