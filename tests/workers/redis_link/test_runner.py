"""The loop's way to Redis: what is an outage, and what is but a connection that nobody used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from redis.exceptions import ResponseError

from tests.harness import House
from tests.harness.redis_proxy import RedisProxy
from workers.loop import _new_loop
from workers.redis_link import AsyncRunner, Link, async_client


def cut(house: House) -> None:
    with suppress(ResponseError):
        house.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def test_a_connection_closed_while_nobody_used_it_is_no_outage(house: House, monkeypatch) -> None:
    link = Link()
    runner = AsyncRunner(async_client(house.server.url), link)
    assert await runner.command("PING") in {b"PONG", "PONG", True}
    monkeypatch.setattr("workers.redis_link.runner.IDLE_SECONDS", 0.0)
    cut(house)
    await runner.command("PING")
    assert (link.losses, link.without) == (0, None)
    # In the midst of use it is one.
    monkeypatch.setattr("workers.redis_link.runner.IDLE_SECONDS", 60.0)
    cut(house)
    await runner.command("PING")
    assert (link.losses, link.without) == (1, None)
    await runner.close()


@pytest.mark.parametrize(
    "make_loop", [_new_loop, asyncio.new_event_loop], ids=["as workers have it", "asyncio"]
)
def test_a_connection_reset_while_nobody_used_it_is_no_fault_of_ours(
    house: House, monkeypatch, make_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """On uvloop the next jobs were answered as failed, each by "a fault of ours: RuntimeError"."""
    monkeypatch.setattr("workers.redis_link.runner.IDLE_SECONDS", 0.0)

    async def ask(proxy: RedisProxy) -> None:
        link = Link()
        runner = AsyncRunner(async_client(proxy.url), link)
        try:
            await runner.command("SET", "a", "1")
            connection = runner._connection
            proxy.reset_connections()
            async with asyncio.timeout(120):
                while connection._reader.exception() is None:  # noqa: ASYNC110 - the library sets no Event
                    await asyncio.sleep(0.01)
            # A few more turns of the loop, in which it forgets the connection.
            await asyncio.sleep(0.05)
            assert await runner.command("GET", "a") == b"1"
            assert (link.losses, link.without) == (0, None)
        finally:
            await runner.close()

    with RedisProxy(house.server.port) as proxy, asyncio.Runner(loop_factory=make_loop) as loop:
        loop.run(ask(proxy))


async def test_closing_ends_though_a_library_swallows_the_cancellation(house: House, monkeypatch) -> None:
    """`asyncio.wait_for` does so before Python 3.12 when what it waits for ends at that moment; the process then never stopped."""
    runner = AsyncRunner(async_client(house.server.url), Link())
    exchange, asked = runner._exchange, asyncio.Event()

    async def swallow(commands: list[tuple[Any, ...]]) -> list[Any]:
        asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return await exchange(commands)

    monkeypatch.setattr(runner, "_exchange", swallow)
    waiting = asyncio.ensure_future(runner.command("PING"))
    await asked.wait()
    await asyncio.wait_for(runner.close(), 60)
    assert waiting.done()
    assert not runner.is_alive()
