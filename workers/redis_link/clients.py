"""Redis clients from ``REDIS_URL``: direct, TLS, unix socket, or by way of Sentinel."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import SentinelAddress, parse_sentinel_url

__all__ = ["COMMAND_SECONDS", "async_client", "sync_client"]

#: A command that is not answered within this time counts as lost: a frozen Redis must not freeze its workers.
COMMAND_SECONDS = 5.0
CONNECT_SECONDS = 3.0


def _options(url: str, **more: Any) -> dict[str, Any]:
    # redis-py repeats commands by itself; a repeated command may have run twice, so repeating is decided by us, script by script.
    return {
        "socket_connect_timeout": CONNECT_SECONDS,
        "health_check_interval": 0,
        # A socket of this machine has nothing to keep alive, and its connection no such option.
        **({} if url.startswith("unix://") else {"socket_keepalive": True}),
        **more,
    }


def _sentinel_of(url: str) -> SentinelAddress | None:
    return parse_sentinel_url(url) if url.split("://", maxsplit=1)[0].endswith("+sentinel") else None


def sync_client(url: str, *, timeout: float = COMMAND_SECONDS) -> redis.Redis:
    """A client for threads. ``timeout`` is how long an answer may take, in seconds."""
    options = _options(url, socket_timeout=timeout, retry=Retry(NoBackoff(), 0))
    address = _sentinel_of(url)
    if address is None:
        return redis.Redis.from_url(url, **options)
    options |= {
        "username": address.username,
        "password": address.password,
        "db": address.db,
        "ssl": address.tls,
    }
    sentinel = redis.sentinel.Sentinel(
        list(address.sentinels), sentinel_kwargs=_options(url, socket_timeout=timeout)
    )
    client: redis.Redis = sentinel.master_for(address.service_name, **options)
    return client


def async_client(url: str, *, timeout: float = COMMAND_SECONDS) -> redis.asyncio.Redis:
    """A client for one event loop. ``timeout`` is how long an answer may take, in seconds."""
    options = _options(url, socket_timeout=timeout, retry=AsyncRetry(NoBackoff(), 0))
    address = _sentinel_of(url)
    if address is None:
        return redis.asyncio.Redis.from_url(url, **options)
    options |= {
        "username": address.username,
        "password": address.password,
        "db": address.db,
        "ssl": address.tls,
    }
    sentinel = redis.asyncio.sentinel.Sentinel(
        list(address.sentinels), sentinel_kwargs=_options(url, socket_timeout=timeout)
    )
    client: redis.asyncio.Redis = sentinel.master_for(address.service_name, **options)
    return client
