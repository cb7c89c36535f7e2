"""The loop's way to Redis: what is an outage, and what is but a connection that nobody used."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from redis.exceptions import ResponseError

from tests.harness import House
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
    assert (link.losses, link.up) == (0, True)
    # In the midst of use it is one.
    monkeypatch.setattr("workers.redis_link.runner.IDLE_SECONDS", 60.0)
    cut(house)
    await runner.command("PING")
    assert (link.losses, link.up) == (1, True)
    await runner.close()


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
