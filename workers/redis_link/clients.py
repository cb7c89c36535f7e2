"""Redis clients from ``REDIS_URL``: direct, TLS, unix socket, or by way of Sentinel."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import parse_sentinel_url

__all__ = ["async_client", "sync_client"]

#: A command that is not answered within this time counts as lost: a frozen Redis must not freeze its workers.
COMMAND_SECONDS = 5.0
CONNECT_SECONDS = 3.0


class _Pool(redis.sentinel.SentinelConnectionPool):
    """Also closes its connections to the sentinels, which redis-py leaves open."""

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        super().disconnect(inuse_connections)
        self.sentinel_manager.close()


class _AsyncPool(redis.asyncio.sentinel.SentinelConnectionPool):
    """The same, for an event loop."""

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        await super().disconnect(inuse_connections)
        await self.sentinel_manager.aclose()


def sync_client(url: str, *, timeout: float = COMMAND_SECONDS) -> redis.Redis:
    """Return a client for threads. ``timeout`` is how long a reply may take, in seconds."""
    sentinel = redis.sentinel.Sentinel
    client: redis.Redis = _client(redis.Redis, sentinel, _Pool, Retry(NoBackoff(), 0), url, timeout)
    return client


def async_client(url: str) -> redis.asyncio.Redis:
    """Return a client for one event loop."""
    sentinel = redis.asyncio.sentinel.Sentinel
    client: redis.asyncio.Redis = _client(
        redis.asyncio.Redis, sentinel, _AsyncPool, AsyncRetry(NoBackoff(), 0), url, COMMAND_SECONDS
    )
    return client


def _client(  # noqa: PLR0917 - the classes of two libraries that have nothing in common
    direct: Any, by_sentinel: Any, pool: Any, retry: Any, url: str, timeout: float
) -> Any:
    """Return a client of the class ``direct``, or one from ``by_sentinel`` if the URL names sentinels."""
    options = {
        "socket_timeout": timeout,
        "socket_connect_timeout": CONNECT_SECONDS,
        "health_check_interval": 0,
        # A unix socket has nothing to keep alive, and its connection no such option.
        **({} if url.startswith("unix://") else {"socket_keepalive": True}),
    }
    # redis-py repeats commands by itself. A repeated command may have run twice, so we decide about repeating, script by script.
    once = {**options, "retry": retry}
    if not url.partition("://")[0].endswith("+sentinel"):
        return direct.from_url(url, **once)
    address = parse_sentinel_url(url)
    tls = {"ssl": True, **dict(address.tls_options)}
    # Sentinels are asked one after the other, and a frozen one must not hold up the next: redis-py would ask it four times.
    asked = {
        **once,
        "socket_timeout": CONNECT_SECONDS,
        "username": address.sentinel_username,
        "password": address.sentinel_password,
        **(tls if address.sentinel_tls else {}),
    }
    return by_sentinel(list(address.sentinels), sentinel_kwargs=asked).master_for(
        address.service_name,
        connection_pool_class=pool,
        username=address.username,
        password=address.password,
        db=address.db,
        **(tls if address.tls else {}),
        **once,
    )
