"""Envelopes, statuses and listings drawn at random, compared with plain references of what they mean."""

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coupontools import (
    AccountRefused,
    Channel,
    Coupontools,
    CoupontoolsError,
    MayHaveHappened,
    NotCarriedOut,
    Rejected,
)
from coupontools.envelope import Reply, judge
from coupontools.mending import MARK, Mender

# How fast examples are made says something about the machine, not about the code.
SETTINGS = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])

# -- Envelopes --------------------------------------------------------------------------------------------------

STATUSES = st.sampled_from([200, 201, 301, 302, 400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 504, 599])
CODES = st.sampled_from(
    [0, 7, 101, 102, 103, 104, 200, 300, 301, 302, 303, 304, 305, 404, 429, 500, 503, 509, 514, 999, 1000]
)
MESSAGES = st.sampled_from(
    ["", "Oops", "Corporate limit of contacts reached", "HTTP/1.0 422 Unprocessable entity.",
     "HTTP/1.0 500 Internal Server Error", "http/1.1 503 Try later"]
)  # fmt: skip
SPELLINGS = st.sampled_from(
    [
        lambda codes: codes,
        lambda codes: [str(code) for code in codes],
        lambda codes: {str(place): code for place, code in enumerate(codes)},
        lambda codes: [[float(code)] for code in codes],
        lambda codes: codes[0] if len(codes) == 1 else codes,
    ]
)


def means(status: int, codes: list[int], message: str) -> type[CoupontoolsError]:
    """Return what a failed envelope means, by the table in docs/delivery.md."""
    known = set(codes)
    if known & {1000, 101, 102, 103, 104}:
        return AccountRefused
    if status == 429 or 429 in known:
        return NotCarriedOut
    if known & {200, 300, 301, 302, 303, 304, 305, 509, 514}:
        return Rejected
    if status in {408, 500, 502, 503, 504, 599} or re.match(r"(?i)http/1\.. 5", message):
        return MayHaveHappened
    if status in {301, 302} or (status in {401, 403} and not known - {0}):
        return AccountRefused
    return Rejected


@SETTINGS
@given(status=STATUSES, codes=st.lists(CODES, max_size=3), message=MESSAGES, spell=SPELLINGS)
def test_failed_envelopes(status: int, codes: list[int], message: str, spell: Any) -> None:
    envelope = {"status": "failed", "errors": {"error_code": spell(codes), "error_message": message}}
    expected = means(status, codes, message)
    with pytest.raises(expected) as raised:
        judge(Reply(status, {}, Channel.SMS, str), envelope)
    assert type(raised.value) is expected
    assert raised.value.outage is (expected is MayHaveHappened)
    assert raised.value.code != 0


# -- Bytes that JSON forbids ------------------------------------------------------------------------------------

TEXTS = st.text(st.sampled_from('\\"aé🍕') | st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
CUTS = st.just([1] * 300) | st.lists(st.integers(min_value=1, max_value=12), max_size=60)


def cut(document: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(document[at : at + size])
        at += size
    return [*(piece for piece in pieces if piece), document[at:]]


@SETTINGS
@given(value=VALUES, indent=st.sampled_from([None, 0, "\t"]), sizes=CUTS)
def test_a_sound_document_stays_as_it_is(value: Any, indent: Any, sizes: list[int]) -> None:
    document = json.dumps(value, ensure_ascii=False, indent=indent).encode()
    mender = Mender()
    assert b"".join(map(mender.feed, cut(document, sizes))) == document
    assert not mender.mended


@SETTINGS
@given(
    before=TEXTS, after=TEXTS, bad=st.sampled_from([b"\x00", b"\n", b"\x1f", b"\xeb", b"\xff"]), sizes=CUTS
)
def test_each_forbidden_byte_becomes_a_mark(before: str, after: str, bad: bytes, sizes: list[int]) -> None:
    first, last = (json.dumps(text, ensure_ascii=False).encode() for text in (before, after))
    document = b'{"a": %b, \n "b": "%b%b" }' % (first, first[1:-1] + bad, last[1:-1])
    mender = Mender()
    mended = json.loads(b"".join(map(mender.feed, cut(document, sizes))))
    assert mender.mended
    assert mended == {"a": before, "b": before + MARK + after}


# -- Listings ---------------------------------------------------------------------------------------------------

GOOD_IDS = st.integers(min_value=1, max_value=4)
ID_SPELLINGS = st.sampled_from([lambda number: number, str, lambda number: f"con_{number}"])
BAD_ROWS = st.sampled_from(
    [b"null", b'"x"', b"7", b"[1]", b"{}", b'{"ID": null}', b'{"ID": "user_1"}',
     b'{"ID": "con_1", "first_name": "\xeb"}', b'{"ID": "con_1", "last_name": "a\nb"}']
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A row as it is written, and the id that can be read from it."""

    written: bytes
    contact_id: str | None


def good_row(number: int, spell: Any, name: str) -> Row:
    fields = {"ID": spell(number), "phone": f"3247000000{number}", "first_name": name, "tags": [{"ID": 1}]}
    return Row(json.dumps(fields, ensure_ascii=False).encode(), f"con_{number}")


GOOD_ROWS = st.builds(good_row, GOOD_IDS, ID_SPELLINGS, TEXTS)
ROWS = st.lists(GOOD_ROWS, max_size=6) | st.lists(
    GOOD_ROWS | BAD_ROWS.map(lambda written: Row(written, None)), max_size=6
)
AMOUNTS = st.integers(min_value=0, max_value=5) | st.sampled_from([None, "", "many", "1,2", "1.000"])
GROUPS = st.just("gro_1") | st.sampled_from([1, "1", "gro_2", "grp_1", "", None])


def written(rows: list[Row], *, keyed: bool) -> bytes:
    if keyed:
        return b"{" + b",".join(b'"%d":%b' % (at, row.written) for at, row in enumerate(rows)) + b"}"
    return b"[" + b",".join(row.written for row in rows) + b"]"


async def listed(document: bytes, sizes: list[int]) -> tuple[list[str], int, bool] | type[CoupontoolsError]:
    """Read a listing from a server that sends it in these pieces."""

    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"gro_1")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in filter(None, cut(document, sizes)):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        closed.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Coupontools(base_url=address, client_id="id", client_secret="secret") as api:
            listing = api.sms.list_contacts("gro_1")
            told: tuple[list[str], int, bool] | type[CoupontoolsError]
            try:
                async with listing:
                    ids = [contact.contact_id async for contact in listing]
            except CoupontoolsError as error:
                assert not listing.complete
                told = type(error)
            else:
                told = ids, listing.skipped, listing.complete
        # If the loop ended earlier, the garbage collector would find the server's socket open, and report it in some other test.
        await closed.wait()
        return told


@SETTINGS
@given(rows=ROWS, amount=AMOUNTS, group=GROUPS, keyed=st.booleans(), sizes=CUTS)
def test_listings(rows: list[Row], amount: Any, group: Any, *, keyed: bool, sizes: list[int]) -> None:
    head = {"status": {"status": "OK"}, "group_id": group, "amount_of_contacts": amount}
    document = json.dumps(head).encode()[:-1] + b', "contact": ' + written(rows, keyed=keyed) + b"}"
    told = asyncio.run(listed(document, sizes))
    if group == "gro_2":
        assert told is MayHaveHappened
        return
    ids = [row.contact_id for row in rows if row.contact_id]
    proven = (
        len(ids) == len(rows)
        and group in {"gro_1", "1", 1}
        and isinstance(amount, int)
        and len(set(ids)) >= amount
    )
    assert told == (ids, len(rows) - len(ids), proven)
