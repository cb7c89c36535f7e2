"""Notices when Redis has forgotten writes that it had confirmed."""

from __future__ import annotations

import structlog

from workers.broker.durable import DurableBroker
from workers.broker.scripts import SCRIPTS
from workers.redis_link import ThreadRunner

__all__ = ["Memory"]

log = structlog.get_logger("workers.redis")


class Memory:
    """A number in Redis that grows with each heartbeat. If Redis has a smaller one, or none, it has lost what was written since.

    Redis itself reports nothing: without this, jobs would be gone, or carried out again, without a line in the log.
    """

    def __init__(self, broker: DurableBroker, heartbeat_seconds: float) -> None:
        self._keys = [broker.keys.memory(broker.broker_id), broker.keys.forgot]
        self._runner = ThreadRunner(broker.client)
        self._one_loss_ms = round(heartbeat_seconds * 1000)
        self._surely = 0

    def look(self) -> None:
        """Compare the number in Redis with the one written last, and write the next.

        Raises:
            redis.RedisError: Redis could not be asked; the number may have been written or not.
        """
        following = self._surely + 1
        arguments = [self._surely, following, self._one_loss_ms]
        if self._runner.run(SCRIPTS["memory"], self._keys, arguments):
            log.critical(
                "redis.forgot", problem="what this worker wrote at its last heartbeat is gone or older"
            )
        self._surely = following
