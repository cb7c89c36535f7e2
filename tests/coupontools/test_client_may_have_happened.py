"""Faults after the first byte, on real sockets: the call may have been carried out, and the error says so."""

import asyncio
import gzip
import time
import tracemalloc
from collections.abc import Awaitable
from typing import Any

import pytest

from coupontools import Group, MayHaveHappened, NewContact
from tests.harness.client import address, failure, silent_listener

OK_GROUP = {"status": {"status": "OK"}, "groupid": 119251}
SHORT = 0.3


async def may_have_happened(call: Awaitable[Any], words: str, *, outage: bool = True) -> MayHaveHappened:
    error = await failure(call)
    assert type(error) is MayHaveHappened
    assert words in error.message
    assert error.outage is outage
    return error


async def test_reset_while_sending(wire: Any, connect: Any) -> None:
    async def script(peer: Any) -> None:
        await peer.reader.readexactly(1000)
        peer.reset()

    api = connect(await wire.serve(script, receive_buffer=4096))
    long = NewContact("gro_1", email="a@b.example", custom_fields={"1": "x" * 1_000_000})
    await may_have_happened(api.email.add_contact(long), "connection was lost", outage=False)


async def test_server_that_stops_reading(connect: Any) -> None:
    with silent_listener() as listener:
        api = connect(address(listener), timeout=SHORT)
        long = NewContact("gro_1", email="a@b.example", custom_fields={"1": "x" * 1_000_000})
        await may_have_happened(api.email.add_contact(long), "no answer in time")


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 20",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"status": {"st',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n{"status": {"st\r\n',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"status": {"st',
        b'HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\n{"status": {"st',
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 100\r\n\r\n",
    ],
)
async def test_connection_lost_before_or_within_the_answer(
    wire: Any, connect: Any, said: bytes, reset: bool
) -> None:
    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(said)
        await asyncio.sleep(0.05)  # a reset overtakes what was sent just before it
        if reset:
            peer.reset()

    api = connect(await wire.serve(script))
    error = await failure(api.sms.create_group("x"))
    assert type(error) is MayHaveHappened
    # One broken connection shows nothing about the service as a whole, but several do; a 5xx does. A 401 may concern this call alone.
    assert error.outage is said.startswith(b"HTTP/1.1 500")
    assert error.broken is not said.startswith((b"HTTP/1.1 500", b"HTTP/1.1 401"))
    assert len(wire.requests) == 1


async def test_reset_after_the_answer_changes_nothing(wire: Any, connect: Any) -> None:
    was_read = asyncio.Event()

    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(wire.http(200, OK_GROUP))
        await was_read.wait()
        peer.reset()

    api = connect(await wire.serve(script))
    assert await api.sms.create_group("x") == Group("gro_119251", "x")
    was_read.set()
    await asyncio.sleep(0.1)
    was_read.clear()
    assert await api.sms.create_group("y") == Group("gro_119251", "y")


async def test_document_that_ends_with_the_connection(wire: Any, connect: Any) -> None:
    documents = [b'{"status": {"status": "OK"}, "groupid": 1}', b'{"status": {"status": "OK"}, "gr']

    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.0 200 OK\r\n\r\n" + documents.pop(0))

    api = connect(await wire.serve(script))
    assert await api.sms.create_group("x") == Group("gro_1", "x")
    await may_have_happened(api.sms.create_group("x"), "no JSON", outage=False)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\n", b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"']
)
async def test_no_answer_in_time(wire: Any, connect: Any, said: bytes) -> None:
    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(said)
        await peer.reader.read()

    api = connect(await wire.serve(script), timeout=SHORT)
    began = time.monotonic()
    await may_have_happened(api.sms.create_group("x"), "no answer in time")
    assert time.monotonic() - began < 30
    assert len(wire.requests) == 1


async def test_time_out_holds_for_the_whole_call(wire: Any, connect: Any) -> None:
    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await peer.send(b" ")
            await asyncio.sleep(0.02)

    api = connect(await wire.serve(script), timeout=SHORT)
    await may_have_happened(api.sms.create_group("x"), "no answer in time")
    await wire.until(wire.is_over)


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"\x00\x01\x02\xff\xfe\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!",
    ],
)
async def test_answer_that_is_not_http(wire: Any, connect: Any, said: bytes, secret: str) -> None:
    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(said)

    error = await failure(connect(await wire.serve(script)).sms.create_group("x"))
    assert type(error) is MayHaveHappened
    assert "SSH" not in str(error)
    assert secret not in repr(error)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "empty"),
        (b"<html><body>Down for maintenance</body></html>", "no JSON object"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b"{}", "no readable status"),
        (b'{"status": "OK", "groupid": 1}', "no readable status"),
        (b'{"status": {"status": "pending"}, "groupid": 1}', "no readable status"),
        (b'{"status": {"status": "OK"}, "groupid": 1', "no JSON object"),
        (b'{"status": {"status": "OK"}, \xff "groupid": 1}', "no JSON object"),
        (b'{"status": {"status": "OK"}, "groupid": ' + b"9" * 5000 + b"}", "no JSON object"),
        (b"[" * 10_000, "no JSON object"),
    ],
)
async def test_success_without_the_apis_words(wire: Any, connect: Any, document: bytes, words: str) -> None:
    api = connect(await wire.answer(wire.http(200, document)))
    error = await may_have_happened(api.sms.create_group("x"), words, outage=False)
    assert error.status == 200
    # An object with a status is the API's own, and may concern this call alone.
    assert error.broken is (words != "no readable status" or document == b"{}")
    assert "maintenance" not in str(error)


async def test_compressed_answer(wire: Any, connect: Any) -> None:
    document = gzip.compress(b'{"status": {"status": "OK"}, "groupid": 1}')
    answer = wire.http(200, document, [("Content-Encoding", "gzip")])
    assert await connect(await wire.answer(answer)).sms.create_group("x") == Group("gro_1", "x")


async def test_oversize_answer(wire: Any, connect: Any) -> None:
    document = b'{"status": {"status": "OK"}, "groupid": 1' + b" " * (1 << 20) + b"}"
    api = connect(await wire.answer(wire.http(200, document)))
    await may_have_happened(api.sms.create_group("x"), "longer than", outage=False)


async def test_largest_answer(wire: Any, connect: Any) -> None:
    document = b'{"status": {"status": "OK"}, "groupid": 1}'.ljust(1 << 20)
    assert await connect(await wire.answer(wire.http(200, document))).sms.create_group("x")


async def test_gzip_bomb(wire: Any, connect: Any) -> None:
    bomb = gzip.compress(bytes(200 << 20), compresslevel=1)
    api = connect(await wire.answer(wire.http(200, bomb, [("Content-Encoding", "gzip")])))
    tracemalloc.start()
    try:
        await may_have_happened(api.sms.create_group("x"), "longer than", outage=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("limit", ["timeout", "cancel"])
async def test_cancelling_passes_through(wire: Any, connect: Any, limit: str) -> None:
    async def script(peer: Any) -> None:
        await peer.request()
        await peer.reader.read()

    api = connect(await wire.serve(script), max_connections=1)
    call = asyncio.create_task(api.sms.create_group("x"))
    await wire.until(lambda: len(wire.requests) == 1)
    if limit == "cancel":
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    else:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT):
                await call
