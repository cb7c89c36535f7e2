"""How workers and commands reach Redis: clients made from REDIS_URL, scripts, and what a failure of Redis means."""

from workers.redis_link.clients import async_client, sync_client
from workers.redis_link.link import Link, is_outage, is_replica_now, trouble_of
from workers.redis_link.patience import Patience
from workers.redis_link.runner import AsyncRunner
from workers.redis_link.threads import ThreadRunner

__all__ = [
    "AsyncRunner",
    "Link",
    "Patience",
    "ThreadRunner",
    "async_client",
    "is_outage",
    "is_replica_now",
    "sync_client",
    "trouble_of",
]
