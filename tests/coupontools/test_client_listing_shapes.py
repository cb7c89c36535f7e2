"""Documents that are listings in an odd form, and documents that are no listings."""

import json
from typing import Any

import pytest

from coupontools import (
    MayHaveHappened,
)
from tests.harness.client import contact, fails_after, pages, read

OK = {"status": {"status": "OK"}}
NAMED = OK | {"group_id": "gro_1"}


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
        (b'{"status": {"status": "OK"}, "contact": []} pizza', "no complete JSON"),
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
    ("document", "complete"),
    [
        (NAMED | {"contact": [], "amount_of_contacts": "0"}, True),
        (NAMED | {"amount_of_contacts": "0"}, True),
        (NAMED | {"amount_of_contacts": 0}, True),
        (NAMED | {"amount_of_contacts": 0, "contact": None}, True),
        (NAMED | {"amount_of_contacts": 0, "contact": ""}, True),
        (NAMED | {"amount_of_contacts": 0, "contact": {}}, True),
        (OK | {"contact": [], "amount_of_contacts": "0"}, False),
        (NAMED | {"contact": []}, False),
        (NAMED | {"contact": None, "amount_of_contacts": "2"}, False),
        (NAMED | {"contact": "", "amount_of_contacts": "none"}, False),
    ],
)
async def test_empty_listing(wire: Any, connect: Any, document: Any, complete: bool) -> None:
    listing = connect(await wire.answer(wire.http(200, document))).sms.list_contacts("gro_1")
    assert await read(listing) == []
    assert listing.complete is complete


@pytest.mark.parametrize(
    "document",
    [
        OK,
        OK | {"amount_of_contacts": "2"},
        OK | {"amount_of_contacts": "none", "contact": "none"},
        OK | {"amount_of_contacts": "1", "contact": 7},
    ],
)
async def test_listing_without_its_list(wire: Any, connect: Any, document: Any) -> None:
    listing = connect(await wire.answer(wire.http(200, document))).sms.list_contacts("gro_1")
    error = await fails_after(listing, 0)
    assert type(error) is MayHaveHappened
    assert "no list" in error.message


@pytest.mark.parametrize(
    "rows",
    [
        {"0": contact(1), "2": contact(2)},
        {"7": contact(1), "ID": "con_2", "phone": "491500000002", "tags": {"ID": "con_9"}},
    ],
    ids=["numbers for keys", "numbers and names for keys"],
)
async def test_list_that_php_wrote_as_an_object(wire: Any, connect: Any, rows: Any) -> None:
    document = NAMED | {"amount_of_contacts": "2", "contact": rows}
    listing = connect(await wire.answer(wire.http(200, document))).sms.list_contacts("gro_1")
    assert [entry.contact_id for entry in await read(listing)] == ["con_1", "con_2"]
    assert (listing.skipped, listing.complete) == (0, True)


async def test_list_that_is_its_only_row(wire: Any, connect: Any) -> None:
    row = contact(1) | {"tags": {"0": "x"}, "more": [[1]]}
    document = NAMED | {"amount_of_contacts": "1", "contact": row}
    listing = connect(await wire.answer(wire.http(200, document))).sms.list_contacts("gro_1")
    assert [entry.phone for entry in await read(listing)] == ["+491500000001"]
    assert listing.complete


BAD_ROWS = [
    b"null",
    b'"text"',
    b"7",
    b"[]",
    b'[{"ID": "con_9"}]',
    b"{}",
    b'{"ID": null, "phone": "491500000009"}',
    b'{"ID": "", "phone": "491500000009"}',
    b'{"ID": 0, "phone": "491500000009"}',
    b'{"ID": {"ID": "con_9"}}',
    b'{"ID": "user_9", "phone": "491500000009"}',
    b'{"ID": "con_9", "first_name": "Zo\xeb"}',
    b'{"ID": "con_9", "first_name": "Zo\xeb \xc3"}',
    b'{"ID": "con_9", "first_name": "two\nlines"}',
    b'{"ID": "con_9", "first_name": "\x00"}',
    b'{"ID": "con_9", "first_name": "\\\\", "last_name": "\\"\x1f"}',
    b'{"ID": "\xff"}',
]


@pytest.mark.parametrize("bad", BAD_ROWS)
@pytest.mark.parametrize("form", [b"[%s]", b'{"1": %s}'], ids=["array", "object"])
async def test_a_bad_row_is_skipped_and_counted(wire: Any, connect: Any, bad: bytes, form: bytes) -> None:
    good = [json.dumps(contact(number), ensure_ascii=False).encode() for number in (1, 2)]
    separator = b", " if form == b"[%s]" else b', "2": '
    rows = form % separator.join([good[0], bad, good[1]])
    head = b'{"status": {"status": "OK"}, "group_id": "gro_1", "amount_of_contacts": "2", "contact": '
    listing = connect(await wire.answer(wire.http(200, head + rows + b"}"))).sms.list_contacts("gro_1")
    assert [entry.contact_id for entry in await read(listing)] == ["con_1", "con_2"]
    assert (listing.skipped, listing.distinct, listing.complete) == (1, 2, False)


@pytest.mark.parametrize("gap", [b"", b" ", b"\n\t", b"\r\n"])
async def test_bytes_that_json_forbids_wherever_the_document_is_cut(
    wire: Any, connect: Any, gap: bytes
) -> None:
    rows = [
        '{"ID":@"con_1", "first_name": "Zoë \\"\\\\", "last_name":@"\\t🍕"}'.encode(),
        b'{"ID":@"con_2",@"first_name": "a\nb\\\\",@"last_name":@"\xeb\xf0\x9f"}',
    ]
    document = (
        b'{"status":@{"status": "OK"},@"group_id": "gro_1", "amount_of_contacts": 2,@"contact": ['
        + b",@".join(rows)
        + b'],@"group_name": "caf\xe9"}@'
    ).replace(b"@", gap)

    async def script(peer: Any) -> None:
        while await peer.request() is not None:
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(len(document)):
                await peer.send(b"1\r\n" + document[at : at + 1] + b"\r\n")
            await peer.send(b"0\r\n\r\n")

    listing = connect(await wire.serve(script)).sms.list_contacts("gro_1")
    (entry,) = await read(listing)
    assert (entry.contact_id, entry.first_name, entry.last_name) == ("con_1", 'Zoë "\\', "🍕")
    assert (listing.skipped, listing.group_name) == (1, "caf\N{REPLACEMENT CHARACTER}")


async def test_a_row_that_comes_twice_stands_for_one_that_is_missing(wire: Any, connect: Any) -> None:
    rows = [contact(1), contact(2), contact(1)]
    document = NAMED | {"amount_of_contacts": "3", "contact": rows}
    listing = connect(await wire.answer(wire.http(200, document))).sms.list_contacts("gro_1")
    assert len(await read(listing)) == 3
    assert (listing.seen, listing.distinct, listing.complete) == (3, 2, False)


@pytest.mark.parametrize(
    ("amount", "counted"),
    [
        ("1,234", 1234),
        ("1 234", 1234),
        ("12'345'678", 12345678),
        ("1.234", None),
        ("1,23", None),
        (1.5, None),
    ],
)
async def test_amounts_with_separators(wire: Any, connect: Any, amount: Any, counted: int | None) -> None:
    document = NAMED | {"amount_of_contacts": amount, "contact": [contact(1), contact(2)]}
    listing = connect(await wire.answer(wire.http(200, document))).sms.list_contacts("gro_1")
    await read(listing)
    assert (listing.amount, listing.complete) == (counted, False)


@pytest.mark.parametrize(
    ("group", "named"),
    [({"group_id": "gro_1"}, True), ({"group_id": 1}, True), ({"group_id": "grp_1"}, False),
     ({"group_id": None}, False), ({"group_id": ""}, False), ({}, False)],
)  # fmt: skip
async def test_whether_the_listing_names_its_group(
    wire: Any, connect: Any, group: dict[str, Any], named: bool
) -> None:
    document = OK | group | {"amount_of_contacts": "1", "contact": [contact(1)]}
    listing = connect(await wire.answer(wire.http(200, document))).sms.list_contacts("gro_1")
    await read(listing)
    assert (listing.names_group, listing.complete) == (named, named)


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
    assert listing.group_name is None


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
