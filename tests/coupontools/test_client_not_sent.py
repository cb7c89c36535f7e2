"""Faults before the first byte, on real sockets: nothing was sent, and the error says so."""

import asyncio
import socket
import time
from collections.abc import Awaitable
from typing import Any

import pytest

from coupontools import Call, Group, NotSent
from tests.harness.client import address, failure, silent_listener

OK_GROUP = {"status": {"status": "OK"}, "groupid": 119251}
SHORT = 0.3


async def not_sent(call: Awaitable[Any], words: str) -> None:
    error = await failure(call)
    assert type(error) is NotSent
    assert words in error.message
    assert error.outage
    assert (error.code, error.status, error.retry_after) == (None, None, None)


async def test_connection_refused(connect: Any) -> None:
    with silent_listener() as listener:
        url = address(listener)
    await not_sent(connect(url).sms.create_group("x"), "Connection refused")


async def test_unknown_host(connect: Any) -> None:
    await not_sent(connect("https://nowhere.invalid").sms.create_group("x"), "could not be resolved")


async def test_host_that_no_resolver_takes(connect: Any) -> None:
    await not_sent(connect(f"https://{'a' * 64}.invalid").sms.create_group("x"), "could not be resolved")


async def test_server_without_tls(wire: Any, connect: Any) -> None:
    async def script(peer: Any) -> None:
        await peer.reader.read(1000)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    url = await wire.serve(script)
    await not_sent(connect(url.replace("http:", "https:")).sms.create_group("x"), "TLS")


async def test_tls_handshake_that_never_ends(connect: Any) -> None:
    with silent_listener() as listener:
        api = connect(address(listener, "https"), connect_timeout=SHORT)
        began = time.monotonic()
        await not_sent(api.sms.create_group("x"), "no connection in time")
    assert time.monotonic() - began < 30


async def test_connection_that_is_never_accepted(connect: Any) -> None:
    with silent_listener(backlog=0) as listener:
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            api = connect(address(listener), connect_timeout=SHORT)
            await not_sent(api.sms.create_group("x"), "no connection in time")
        finally:
            for filler in fillers:
                filler.close()


async def test_whole_time_may_pass_before_anything_is_sent(connect: Any) -> None:
    with silent_listener() as listener:
        api = connect(address(listener, "https"), connect_timeout=60, timeout=SHORT)
        await not_sent(api.sms.create_group("x"), "no connection in time")


async def test_no_free_connection_in_time(wire: Any, connect: Any) -> None:
    release = asyncio.Event()

    async def script(peer: Any) -> None:
        while await peer.request() is not None:
            await release.wait()
            await peer.send(wire.http(200, OK_GROUP))

    api = connect(await wire.serve(script), max_connections=1, connect_timeout=SHORT)
    first = asyncio.create_task(api.sms.create_group("first"))
    await wire.until(lambda: len(wire.requests) == 1)
    await not_sent(api.sms.create_group("second"), "no connection in time")
    release.set()
    assert await first == Group("gro_119251", "first")
    assert [request.json()["group_name"] for request in wire.requests] == ["first"]


@pytest.mark.parametrize(
    "refusal",
    [KeyError("lease lost"), OSError("not the network's"), TimeoutError("nor its"), asyncio.CancelledError()],
    ids=lambda refusal: type(refusal).__name__,
)
async def test_before_send_that_refuses(wire: Any, connect: Any, refusal: BaseException) -> None:
    def refuse() -> None:
        raise refusal

    api = connect(await wire.answer(wire.http(200, OK_GROUP)), max_connections=1)
    with pytest.raises(type(refusal)) as raised:
        await api.sms.create_group("x", Call(before_send=refuse))
    assert raised.value is refusal
    # The only connection is free again, and the server has seen nothing of the first call.
    assert await api.sms.create_group("y") == Group("gro_119251", "y")
    assert [request.json()["group_name"] for request in wire.requests] == ["y"]
    assert wire.stray_bytes == 0


async def test_before_send_that_refuses_on_a_kept_connection(wire: Any, connect: Any) -> None:
    def refuse() -> None:
        raise LookupError

    api = connect(await wire.answer(wire.http(200, OK_GROUP)))
    await api.sms.create_group("x")
    with pytest.raises(LookupError):
        await api.sms.create_group("y", Call(before_send=refuse))
    with pytest.raises(LookupError):
        async with api.sms.list_groups(Call(before_send=refuse)):
            pass
    await api.close()
    assert [request.json() for request in wire.requests] == [{"group_name": "x"}]
    assert wire.stray_bytes == 0


async def test_before_send_is_asked_when_the_connection_stands(wire: Any, connect: Any) -> None:
    asked: list[int] = []
    api = connect(await wire.answer(wire.http(200, OK_GROUP)))
    await api.sms.create_group("x", Call(before_send=lambda: asked.append(len(wire.requests))))
    assert asked == [0]
    with silent_listener() as listener:
        url = address(listener)
    await not_sent(connect(url).sms.create_group("x", Call(before_send=lambda: asked.append(-1))), "refused")
    assert asked == [0]


async def test_kept_connection_that_the_server_closed_while_idle(wire: Any, connect: Any) -> None:
    closed = asyncio.Event()

    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(wire.http(200, OK_GROUP))
        peer.close()
        await peer.writer.wait_closed()
        closed.set()

    api = connect(await wire.serve(script))
    for name in ("x", "y"):
        assert await api.sms.create_group(name) == Group("gro_119251", name)
        async with asyncio.timeout(10):
            await closed.wait()
        closed.clear()
        # Wait a moment, so that the client's end notices as well.
        await asyncio.sleep(0.05)
    assert len(wire.requests) == wire.connections == 2


UNASKED = [
    b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b'HTTP/1.1 200 OK\r\nContent-Length: 47\r\n\r\n{"status": {"status": "OK"}, "groupid": 666666}',
    b"HTTP/1.1 200 OK\r\n",
    b"pizza",
    b"\r\n",
]


@pytest.mark.parametrize("unasked", UNASKED)
@pytest.mark.parametrize("kept", [1, 5])
async def test_connection_with_bytes_that_nobody_asked_for_is_dropped(
    wire: Any, connect: Any, unasked: bytes, kept: int
) -> None:
    """If this counted as a failure, ten would hold the account; if the bytes were taken for an answer, it would be another call's."""
    all_asked, speak = asyncio.Event(), asyncio.Event()
    spoken = 0

    async def script(peer: Any) -> None:
        nonlocal spoken
        first = wire.connections <= kept
        await peer.request()
        await all_asked.wait()
        await peer.send(wire.http(200, OK_GROUP))
        if first:
            await speak.wait()
            await peer.send(unasked)
            spoken += 1
        while await peer.request() is not None:
            await peer.send(wire.http(200, OK_GROUP))

    api = connect(await wire.serve(script))
    calls = [asyncio.create_task(api.sms.create_group(f"first {number}")) for number in range(kept)]
    await wire.until(lambda: len(wire.requests) == kept)
    all_asked.set()
    await asyncio.gather(*calls)
    speak.set()
    await wire.until(lambda: spoken == kept)
    await asyncio.sleep(0.05)  # until the client's end has read them
    begun: list[int] = []
    assert await api.sms.create_group("y", Call(before_send=lambda: begun.append(1))) == Group(
        "gro_119251", "y"
    )
    assert (len(wire.requests), wire.connections, len(begun)) == (kept + 1, kept + 1, 1)
    assert wire.stray_bytes == 0


async def test_a_fault_of_ours_before_sending_is_not_taken_for_the_networks(connect: Any, wire: Any) -> None:
    api = connect(await wire.answer(wire.http(200, OK_GROUP)))
    await api.sms.create_group("x")
    await api.close()
    with pytest.raises(RuntimeError, match="closed"):
        await api.sms.create_group("y")
