"""The loop's way to Redis: what is an outage, and what is but a connection that nobody used."""

from __future__ import annotations

from contextlib import suppress

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
