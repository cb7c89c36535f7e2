"""Documents that are listings, oddly written, and documents that are none."""

import json
from typing import Any

import pytest

from coupontools import (
    MayHaveHappened,
)
from tests.harness.client import contact, fails_after, pages, read

OK = {"status": {"status": "OK"}}


@pytest.mark.parametrize("cut", [1, 30, 100, -1])
async def test_document_that_is_cut_off_though_its_length_is_right(wire: Any, connect: Any, cut: int) -> None:
    document = b"".join(pages(3))[:cut]
    api = connect(await wire.answer(wire.http(200, document)))
    error = await fails_after(api.sms.list_contacts("gro_1"))
    assert type(error) is MayHaveHappened
    assert "complete" in error.message


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "empty"),
        (b" \n ", "no complete JSON"),
        (b"<html>pizza</html>", "no complete JSON"),
        (b"[]", "no listing"),
        (b'"text"', "no listing"),
        (b"7", "no readable status"),
        (b"7 ", "no listing"),
        (b"{}", "no readable status"),
        (b'{"contact": []}', "no readable status"),
        (b'{"status": "OK", "contact": []}', "no readable status"),
        (b'{"status": {"status": "OK"}, "contact": ["text"]}', "no listing"),
        (b'{"status": {"status": "OK"}, "contact": [["text"]]}', "no listing"),
        (b'{"status": {"status": "OK"}, "contact": [{"phone": "1"}]}', "no id"),
        (b'{"status": {"status": "OK"}, "contact": []} pizza', "no complete JSON"),
        (b'{"status": {"status": "OK"}, "contact": [{"ID": "\xff"}]}', "no complete JSON"),
        (b'{"status": {"status": "OK"}, "contact": [' + b"9" * 5000 + b"]}", "no complete JSON"),
        (b'{"status": {"status": "OK"}, "x": ' + b"[" * 100, "nested"),
        (b'{"status": {"status": "OK", "errors": ' + b"[1" + b",1" * 2000 + b"]}}", "absurdly long"),
        (b'{"status": {"status": "OK"}, "x": "' + b"x" * (3 << 20) + b'"}', "absurd length"),
    ],
)
async def test_what_is_no_listing(wire: Any, connect: Any, document: bytes, words: str) -> None:
    api = connect(await wire.answer(wire.http(200, document)))
    error = await fails_after(api.sms.list_contacts("gro_1"), 0)
    assert type(error) is MayHaveHappened
    assert words in error.message
    assert "pizza" not in str(error)
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("document", "empty"),
    [
        (OK | {"contact": []}, True),
        (OK | {"contact": [], "amount_of_contacts": "0"}, True),
        (OK | {"amount_of_contacts": "0"}, True),
        (OK | {"amount_of_contacts": 0}, True),
        (OK | {"amount_of_contacts": 0, "contact": None}, True),
        (OK | {"amount_of_contacts": 0, "contact": {}}, True),
        (OK, False),
        (OK | {"amount_of_contacts": "2"}, False),
        (OK | {"amount_of_contacts": "none", "contact": "none"}, False),
        (OK | {"amount_of_contacts": "1", "contact": {"ID": "con_1"}}, False),
    ],
)
async def test_listing_without_its_array(wire: Any, connect: Any, document: Any, empty: bool) -> None:
    api = connect(await wire.answer(wire.http(200, document)))
    listing = api.sms.list_contacts("gro_1")
    if empty:
        assert await read(listing) == []
        assert listing.complete
    else:
        error = await fails_after(listing, 0)
        assert type(error) is MayHaveHappened
        assert "no list" in error.message


async def test_groups_without_their_array(wire: Any, connect: Any) -> None:
    api = connect(await wire.answer(wire.http(200, OK | {"amount_of_groups": 0})))
    assert await read(api.sms.list_groups()) == []


async def test_fewer_than_the_amount_is_not_complete(wire: Any, connect: Any) -> None:
    api = connect(
        await wire.answer(wire.http(200, OK | {"amount_of_contacts": "9", "contact": [contact(1)]}))
    )
    listing = api.sms.list_contacts("gro_7")
    assert len(await read(listing)) == 1
    assert (listing.amount, listing.seen, listing.complete) == (9, 1, False)
    assert (listing.group_id, listing.group_name) == ("gro_7", None)


async def test_fields_the_vendor_may_add_are_read_over(wire: Any, connect: Any) -> None:
    entry = contact(1) | {
        "tags": [{"ID": "con_9", "deep": [[]]}],
        "custom": {"ID": "con_9"},
        "email": "a@b.example",
    }
    document = {
        "meta": {"contact": [1], "status": {"status": "no"}},
        "contact": [entry],
        "more": [[{}]],
        **OK,
    }
    api = connect(await wire.answer(wire.http(200, document)))
    (found,) = await read(api.email.list_contacts("gro_1"))
    assert (found.contact_id, found.email) == ("con_1", "a@b.example")


async def test_byte_order_mark_is_read_over(wire: Any, connect: Any) -> None:
    document = b"\xef\xbb\xbf" + json.dumps(OK | {"contact": [contact(1)]}).encode()
    api = connect(await wire.answer(wire.http(200, document)))
    assert len(await read(api.sms.list_contacts("gro_1"))) == 1
