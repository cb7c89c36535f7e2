"""Runs scripts for threads: once each; the caller decides what a failure means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
import redis.exceptions

from workers.redis_link.link import is_replica_now

if TYPE_CHECKING:
    # Not at run time: `check` needs Redis, but not delivery and its API client.
    from delivery import Script

__all__ = ["ThreadRunner"]


class ThreadRunner:
    """Runs scripts on a client that threads may share."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def run(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        """Run a script and return its reply.

        Raises:
            redis.exceptions.RedisError: Redis could not be asked, or its answer was lost.
        """
        try:
            try:
                return self.client.evalsha(script.sha, len(keys), *keys, *args)
            except redis.exceptions.NoScriptError:
                return self.client.eval(script.source, len(keys), *keys, *args)
        except redis.exceptions.ResponseError as error:
            if is_replica_now(error):
                self.client.connection_pool.disconnect(inuse_connections=False)
            raise
