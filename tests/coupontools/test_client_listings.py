"""Listings as a stream: bounded memory, errors anywhere in the document, and listings that break off in the middle."""

import asyncio
import json
import time
import tracemalloc
from collections import Counter
from typing import Any

import pytest

from coupontools import (
    AccountRefused,
    Contact,
    MayHaveHappened,
    NotSent,
    Rejected,
)
from coupontools.listing_parser import SLICE_BYTES
from tests.harness.client import contact, fails_after, pages, read

SHORT = 0.3
OK = {"status": {"status": "OK"}}
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@pytest.mark.parametrize("total", [30_000, pytest.param(100_000, marks=pytest.mark.chaos)])
async def test_many_contacts_in_bounded_memory(wire: Any, connect: Any, total: int) -> None:
    documents = list(pages(total))

    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for document in documents:
            await peer.send(chunk(document))
        await peer.send(b"0\r\n\r\n")

    # Tracing memory is slow, so the time-outs are long.
    api = connect(await wire.serve(script), timeout=600, listing_timeout=600)
    count = unsubscribed = 0
    tracemalloc.start()
    try:
        async with api.sms.list_contacts("gro_1") as listing:
            async for entry in listing:
                assert entry.contact_id == f"con_{count}"
                count += 1
                unsubscribed += entry.unsubscribed
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(map(len, documents)) > 3 << 20
    assert peak < 5 << 19
    assert (count, unsubscribed) == (total, total // 2)
    assert (listing.group_name, listing.amount, listing.complete) == ("big", total, True)


async def test_loop_is_not_held_up_by_a_listing_that_is_all_there(wire: Any, connect: Any) -> None:
    document = b"".join(pages(20_000))
    most_in_a_slice = SLICE_BYTES // len(json.dumps(contact(0), ensure_ascii=False)) + 1
    api = connect(await wire.answer(wire.http(200, document)))
    turn = 0
    turns: Counter[int] = Counter()

    async def tick() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    async with api.sms.list_contacts("gro_1") as listing:
        async for _ in listing:
            turns[turn] += 1
    ticking.cancel()
    assert turns.total() == 20_000
    # Count contacts, not seconds: another task has its turn after each slice of the document.
    assert max(turns.values()) <= most_in_a_slice


async def test_items_come_before_the_document_has_ended(wire: Any, connect: Any) -> None:
    release = asyncio.Event()
    first, *rest = pages(2, size=1)

    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(first) + chunk(rest[0]))
        await release.wait()
        await peer.send(b"".join(map(chunk, rest[1:])) + b"0\r\n\r\n")

    api = connect(await wire.serve(script))
    async with api.email.list_contacts("gro_1") as listing:
        one = await anext(listing)
        assert one == Contact("con_0", "+491500000000", None, "Zoë", "Doe", False, None)
        assert not listing.complete
        release.set()
        assert [entry.contact_id async for entry in listing] == ["con_1"]
    assert listing.complete


async def test_status_at_the_end_says_failed(wire: Any, connect: Any) -> None:
    document = OK | {"contact": [contact(1), contact(2)]}
    del document["status"]
    text = json.dumps(document)[:-1] + ', "status": {"status": "failed", "errors": {"error_code": [514]}}}'
    # The contacts and the status arrive in different slices, as in a long document.
    text = text.replace("]", "]" + " " * 2 * SLICE_BYTES, 1)
    api = connect(await wire.answer(wire.http(200, text.encode())))
    error = await fails_after(api.sms.list_contacts("gro_1"), 2)
    assert type(error) is Rejected
    assert error.code == 514


async def test_status_at_the_beginning_says_failed(wire: Any, connect: Any) -> None:
    errors = {"error_code": "103", "error_message": "no email"}
    document = {"status": {"status": "failed", "errors": errors}, "contact": [contact(1)]}
    api = connect(await wire.answer(wire.http(200, document)))
    error = await fails_after(api.email.list_contacts("gro_1"), 0)
    assert isinstance(error, AccountRefused)
    assert (error.scope, error.code, error.message) == ("email", 103, "no email")


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
async def test_cut_off_in_the_middle(wire: Any, connect: Any, reset: bool) -> None:
    first, second, *_ = pages(5000)

    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(first) + chunk(second))
        await wire.until(lambda: taken > 0)
        if reset:
            peer.reset()

    taken = 0
    api = connect(await wire.serve(script))
    with pytest.raises(MayHaveHappened) as raised:  # noqa: PT012 - the server waits for the first items
        async with api.sms.list_contacts("gro_1") as listing:
            async for _ in listing:
                taken += 1
    assert taken == 500
    assert not raised.value.outage
    assert not listing.complete


async def test_error_page_is_not_read_without_end(wire: Any, connect: Any) -> None:
    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.send(chunk(b" " * 65536))

    api = connect(await wire.serve(script))
    error = await fails_after(api.sms.list_contacts("gro_1"), 0)
    assert type(error) is MayHaveHappened
    assert error.status == 500


async def test_leaving_early_gives_the_connection_up(wire: Any, connect: Any) -> None:
    documents = list(pages(100_000))

    async def script(peer: Any) -> None:
        while await peer.request() is not None:
            await peer.send(CHUNKED)
            for document in documents:
                await peer.send(chunk(document))
            await peer.send(b"0\r\n\r\n")

    api = connect(await wire.serve(script), max_connections=1)
    for _ in range(2):
        async with api.sms.list_contacts("gro_1") as listing:
            async for entry in listing:
                assert entry.contact_id == "con_0"
                break
        assert not listing.complete
    assert wire.connections == 2


async def test_time_out_is_for_each_wait(wire: Any, connect: Any) -> None:
    # Far apart, so that a busy machine does not make a pause look like the time-out.
    pause, limit = 0.2, 2.0

    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for document in pages(11, size=1):
            await asyncio.sleep(pause)
            await peer.send(chunk(document))
        await peer.send(b"0\r\n\r\n")

    api = connect(await wire.serve(script), timeout=limit)
    began = time.monotonic()
    assert len(await read(api.sms.list_contacts("gro_1"))) == 11
    assert time.monotonic() - began > limit


@pytest.mark.parametrize("said", [b"", CHUNKED, CHUNKED + b'20\r\n{"contact": ['])
async def test_server_that_falls_silent(wire: Any, connect: Any, said: bytes) -> None:
    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(said)
        await peer.reader.read()

    api = connect(await wire.serve(script), timeout=SHORT)
    error = await fails_after(api.sms.list_contacts("gro_1"), 0)
    assert type(error) is MayHaveHappened
    assert "no answer in time" in error.message


async def test_connection_refused(wire: Any, connect: Any) -> None:
    url = await wire.answer(b"")
    await wire.stop()
    error = await fails_after(connect(url).sms.list_groups(), 0)
    assert type(error) is NotSent
