"""What an answer means: each real failure, raised through the real transport by a real socket, and what retry.py makes of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from coupontools import Coupontools, CoupontoolsError, MayHaveHappened, NewContact, NotCarriedOut
from delivery.retry import Meaning, Pause, meaning_of

SHORTEST = 1.5
SHORT = 0.3
GATEWAY = b"<html><body>gateway</body></html>"
OK_GROUP = {"status": {"status": "OK"}, "groupid": 119251}

Connect = Callable[..., Coupontools]


def envelope(code: Any, message: str = "HTTP/1.0 422 Unprocessable entity.") -> dict[str, Any]:
    return {"status": {"status": "failed", "errors": {"error_code": code, "error_message": message}}}


async def error_of(call: Awaitable[Any]) -> CoupontoolsError:
    with pytest.raises(CoupontoolsError) as raised:
        await call
    return raised.value


async def create(api: Coupontools) -> Any:
    return await api.sms.create_group("x")


async def add(api: Coupontools) -> Any:
    return await api.email.add_contact(NewContact("gro_1", email="ada@example.com"))


# -- Nothing was sent -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def refused(wire: Any, connect: Connect) -> AsyncIterator[Coupontools]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    del wire
    yield connect(f"http://127.0.0.1:{port}")


@asynccontextmanager
async def no_such_host(wire: Any, connect: Connect) -> AsyncIterator[Coupontools]:
    del wire
    yield connect("https://nowhere.invalid")


@asynccontextmanager
async def no_tls(wire: Any, connect: Connect) -> AsyncIterator[Coupontools]:
    async def script(peer: Any) -> None:
        await peer.reader.read(1000)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    url: str = await wire.serve(script)
    yield connect(url.replace("http:", "https:"))


@asynccontextmanager
async def connect_time_out(wire: Any, connect: Connect) -> AsyncIterator[Coupontools]:
    del wire
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        # The TLS handshake is a part of connecting, and this one never ends.
        yield connect(f"https://127.0.0.1:{listener.getsockname()[1]}", connect_timeout=SHORT)


@asynccontextmanager
async def pool_time_out(wire: Any, connect: Connect) -> AsyncIterator[Coupontools]:
    async def script(peer: Any) -> None:
        await peer.request()
        await peer.reader.read()

    api = connect(await wire.serve(script), max_connections=1, connect_timeout=SHORT)
    first = asyncio.create_task(api.sms.create_group("first"))
    await wire.until(lambda: len(wire.requests) == 1)
    try:
        yield api
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


@pytest.mark.parametrize("effect", [True, False])
@pytest.mark.parametrize("failing", [refused, no_such_host, no_tls, connect_time_out, pool_time_out])
async def test_not_sent(wire: Any, connect: Connect, failing: Any, effect: bool) -> None:
    async with failing(wire, connect) as api:
        error = await error_of(create(api))
    assert meaning_of(error, effect=effect, shortest_pause=SHORTEST) == Meaning(
        "retry", "outage", connect=True
    )


# -- The connection failed after bytes had left ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Broken:
    """A connection that takes the request, says something, and then closes, resets or falls silent."""

    said: bytes
    end: str


def broken() -> list[Any]:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    said = {
        "before the answer": b"",
        "within its head": b"HTTP/1.1 200 OK\r\nContent-Le",
        "within its body": head + b'{"status": {"st',
    }
    rows = [
        pytest.param(Broken(words, end), id=f"{end} {where}")
        for where, words in said.items()
        for end in ("close", "reset", "silence")
    ]
    rows.append(pytest.param(Broken(b"SSH-2.0-OpenSSH_9.6\r\n", "close"), id="garbage status line"))
    return rows


@pytest.mark.parametrize("row", broken())
async def test_broken_off(wire: Any, connect: Connect, row: Broken) -> None:
    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(row.said)
        # A reset overtakes what was sent just before it.
        await asyncio.sleep(0.05)
        if row.end == "reset":
            peer.reset()
        elif row.end == "silence":
            await peer.reader.read()

    api = connect(await wire.serve(script), timeout=SHORT if row.end == "silence" else 10.0)
    # A connection may be lost, and a document cut off, for one call alone; an answer that does not come in time shows a failing service.
    await assert_lost(await error_of(create(api)), broken=row.end != "silence")
    assert len(wire.requests) == 1


async def test_reset_while_sending(wire: Any, connect: Connect) -> None:
    async def script(peer: Any) -> None:
        await peer.reader.readexactly(1000)
        peer.reset()

    api = connect(await wire.serve(script, receive_buffer=4096))
    long = NewContact("gro_1", email="a@b.example", custom_fields={"1": "x" * 1_000_000})
    await assert_lost(await error_of(api.email.add_contact(long)), broken=True)


async def assert_lost(error: CoupontoolsError, *, broken: bool) -> None:
    for effect, verb in ((True, "lost"), (False, "retry")):
        meaning = meaning_of(error, effect=effect, shortest_pause=SHORTEST)
        assert meaning == Meaning(verb, "outage", broken=broken)  # type: ignore[arg-type]


async def test_reset_after_the_answer_and_a_connection_closed_while_idle_mean_nothing(
    wire: Any, connect: Connect
) -> None:
    ends = ["reset", "close"]

    async def script(peer: Any) -> None:
        await peer.request()
        await peer.send(wire.http(200, OK_GROUP))
        await asyncio.sleep(0.05)
        if ends.pop(0) == "reset":
            peer.reset()

    api = connect(await wire.serve(script))
    for number in (1, 2):
        await create(api)
        await wire.until(lambda number=number: len(ends) == 2 - number)
        await asyncio.sleep(0.1)
    assert len(wire.requests) == wire.connections == 2


# -- An answer came -------------------------------------------------------------------------------------------------------------


def lost(signal: str = "none", *, broken: bool = False) -> tuple[Meaning, Meaning]:
    return Meaning("lost", signal, broken=broken), Meaning("retry", signal, broken=broken)  # type: ignore[arg-type]


def same(meaning: Meaning) -> tuple[Meaning, Meaning]:
    return meaning, meaning


HELD = same(Meaning("held", "refused"))
# Nobody knows whether the account or only this call is refused.
BARE = same(Meaning("held", "refused", bare=True))
REDIRECTED = Meaning("held", "refused", bare=True, lost=True), Meaning("held", "refused", bare=True)
REFUSED = same(Meaning("refused", "well"))
ANSWERS = [
    pytest.param(200, b"", {}, lost("outage", broken=True), id="empty 200"),
    pytest.param(200, GATEWAY, {}, lost("outage", broken=True), id="HTML 200"),
    pytest.param(200, b'{"status": {"status": "OK"}, "gr', {}, lost("outage", broken=True), id="cut-off JSON"),
    pytest.param(200, {"status": {"status": "OK"}}, {}, lost(), id="OK without the id"),
    pytest.param(200, {"status": {"status": "pending"}}, {}, lost(), id="no OK"),
    pytest.param(200, {"message": "Down for maintenance"}, {}, lost("outage", broken=True), id="no status"),
    pytest.param(204, b"", {}, lost("outage", broken=True), id="204"),
    pytest.param(400, GATEWAY, {}, lost(), id="400 page"),
    pytest.param(404, GATEWAY, {}, lost(), id="404 page"),
    pytest.param(408, GATEWAY, {}, lost("outage"), id="408"),
    pytest.param(500, GATEWAY, {}, lost("outage"), id="500"),
    pytest.param(502, GATEWAY, {}, lost("outage"), id="502"),
    pytest.param(503, GATEWAY, {"Retry-After": "7"}, lost("outage"), id="503, Retry-After"),
    pytest.param(504, GATEWAY, {}, lost("outage"), id="504"),
    pytest.param(429, GATEWAY, {}, same(Meaning("retry", "well", pause=SHORTEST)), id="429"),
    pytest.param(
        429, GATEWAY, {"Retry-After": "7"}, same(Meaning("retry", "well", pause=7.0)), id="429, Retry-After"
    ),
    pytest.param(
        422,
        envelope(999, "Too many requests"),
        {"Retry-After": "3"},
        same(Meaning("retry", "well", pause=3.0)),
        id="envelope: too many",
    ),
    pytest.param(401, GATEWAY, {}, BARE, id="401 page"),
    pytest.param(403, GATEWAY, {}, BARE, id="403 page"),
    pytest.param(302, b"", {"Location": "http://127.0.0.1:1/login"}, REDIRECTED, id="redirect"),
    pytest.param(401, envelope(1000), {}, HELD, id="1000"),
    pytest.param(200, envelope([101]), {}, HELD, id="101"),
    pytest.param(200, envelope("102"), {}, HELD, id="102"),
    *(
        pytest.param(status, envelope([code]), {}, REFUSED, id=f"{code} with HTTP {status}")
        for code in (200, 300, 301, 302, 303, 304, 305, 349, 500, 509, 514, 599)
        for status in (200, 422)
    ),
    *(
        pytest.param(500, envelope([code]), {}, REFUSED, id=f"{code} with HTTP 500")
        for code in (200, 300, 301, 302, 303, 304, 305, 509, 514)
    ),
    *(
        pytest.param(status, envelope([code]), {}, lost("outage"), id=f"{code} with HTTP {status}")
        for code in (0, 349, 500, 503, 599)
        for status in (408, 500, 503)
    ),
    pytest.param(200, envelope(0, "HTTP/1.0 500 Oops"), {}, lost("outage"), id="the text of a 500"),
]  # fmt: skip


@pytest.mark.parametrize("call", [create, add], ids=["create_group", "add_contact"])
@pytest.mark.parametrize(("status", "body", "headers", "meanings"), ANSWERS)
async def test_answered(
    *,
    wire: Any,
    connect: Connect,
    status: int,
    body: Any,
    headers: dict[str, str],
    meanings: tuple[Meaning, Meaning],
    call: Any,
) -> None:
    answer = wire.http(status, body, headers.items())
    error = await error_of(call(connect(await wire.answer(answer))))
    effect, no_effect = meanings
    assert meaning_of(error, effect=True, shortest_pause=SHORTEST) == effect
    assert meaning_of(error, effect=False, shortest_pause=SHORTEST) == no_effect
    assert len(wire.requests) == 1


async def test_retry_after_as_a_date(wire: Any, connect: Connect) -> None:
    # Do not compute this when the file is loaded: minutes may pass before the test runs.
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    api = connect(await wire.answer(wire.http(429, GATEWAY, [("Retry-After", later)])))
    meaning = meaning_of(await error_of(create(api)), effect=True, shortest_pause=SHORTEST)
    assert (meaning.verb, meaning.signal) == ("retry", "well")
    assert meaning.pause is not None
    assert 300 < meaning.pause <= 600


@pytest.mark.parametrize("code", [103, 104])
@pytest.mark.parametrize(("call", "channel"), [(create, "sms"), (add, "email")])
async def test_a_channel_that_is_refused_is_held_alone(
    wire: Any, connect: Connect, call: Any, channel: str, code: int
) -> None:
    error = await error_of(call(connect(await wire.answer(wire.http(422, envelope([code]))))))
    for effect in (True, False):
        meaning = meaning_of(error, effect=effect, shortest_pause=SHORTEST)
        assert meaning == Meaning("held", "refused", scope=channel)


async def test_codes_500_to_599_are_no_http_statuses(wire: Any, connect: Connect) -> None:
    api = connect(await wire.answer(wire.http(500, envelope([509], "HTTP/1.0 500"))))
    error = await error_of(api.webhooks.verify("evt_01234567890123456789"))
    assert meaning_of(error, effect=False, shortest_pause=SHORTEST) == Meaning("refused", "well")


def test_an_error_without_a_row_is_no_quiet_retry() -> None:
    with pytest.raises(TypeError, match="add a row"):
        meaning_of(CoupontoolsError("new"), effect=True, shortest_pause=SHORTEST)


def test_a_mistaken_retry_after_does_not_stop_the_account_for_a_year() -> None:
    error = NotCarriedOut("later", status=429, retry_after=365 * 86400.0)
    assert meaning_of(error, effect=True, shortest_pause=1.0).pause == Pause.asked_longest


def test_a_retry_after_that_is_not_the_account_s_does_not_stop_the_account() -> None:
    """Otherwise one listing's 503 would pause every job."""
    error = MayHaveHappened("busy", status=503, retry_after=7.0)
    assert meaning_of(error, effect=False, shortest_pause=1.0).pause is None
