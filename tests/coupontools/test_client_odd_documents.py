"""Documents as PHP may write them: with notices before them, in another encoding, with floats for numbers, wrapped."""

import json
from decimal import Decimal
from typing import Any

import pytest

from coupontools import (
    CoupontoolsError,
    Group,
    MayHaveHappened,
    NewContact,
    Rejected,
    dialect,
)
from coupontools.mending import Beginning
from tests.harness.client import fails_after, read

OK = {"status": {"status": "OK"}}
CREATED = json.dumps(OK | {"groupid": 119251}).encode()
LISTED = json.dumps(
    OK
    | {"group_id": "gro_1", "amount_of_contacts": "1", "contact": [{"ID": "con_1", "phone": "32470000567"}]}
).encode()
ADDED = OK | {"group_id": "gro_1", "phone": "32470000567", "contact_id": "con_5"}
NOTICE = b"<br />\n<b>Warning</b>:  Undefined index: x in <b>/var/www/a.php</b> on line <b>12</b><br />\n"
BEFORE = [
    b"\xef\xbb\xbf",
    b"\xef\xbb\xbf\xef\xbb\xbf",
    b"\r\n \xef\xbb\xbf\n",
    NOTICE,
    b"\xef\xbb\xbf" + NOTICE * 3,
    b"\nDeprecated: Function strftime() is deprecated in /var/www/a.php on line 12\n",
]


async def error_of(asking: Any) -> CoupontoolsError:
    with pytest.raises(CoupontoolsError) as raised:
        await asking
    return raised.value


@pytest.mark.parametrize("before", BEFORE)
async def test_what_php_prints_before_the_document(wire: Any, connect: Any, before: bytes) -> None:
    """Otherwise every call would be `unknown`, and a refused call would be made again until its deadline."""
    api = connect(await wire.answer(*(wire.http(200, before + document) for document in (CREATED, LISTED))))
    assert await api.sms.create_group("x") == Group("gro_119251", "x")
    assert [contact.phone for contact in await read(api.sms.list_contacts("gro_1"))] == ["+32470000567"]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_the_beginning_in_pieces(size: int) -> None:
    documents = {before + CREATED: CREATED for before in BEFORE}
    documents |= {b"[]": b"[]", b" 7 ": b"7 ", b'"x"': b'"x"', b"": b"", b" \n": b"", b"<html>": b""}
    for document, expected in documents.items():
        beginning = Beginning()
        pieces = [document[at : at + size] for at in range(0, len(document), size)]
        assert b"".join(map(beginning.feed, pieces)) == expected


async def test_a_page_is_no_document_whatever_stands_in_it(wire: Any, connect: Any) -> None:
    page = b"<html><script>var told = " + CREATED + b"</script></html>"
    api = connect(await wire.answer(wire.http(200, page)))
    assert type(await error_of(api.sms.create_group("x"))) is MayHaveHappened
    assert type(await fails_after(api.sms.list_groups())) is MayHaveHappened


@pytest.mark.parametrize("name", [b"Zo\xeb", b"Z\no", b"\x00"])
async def test_a_text_in_another_encoding_hides_no_answer(wire: Any, connect: Any, name: bytes) -> None:
    document = json.dumps(ADDED | {"first_name": "NAME"}).encode().replace(b"NAME", name)
    api = connect(await wire.answer(wire.http(200, document)))
    added = await api.sms.add_contact(NewContact("gro_1", phone="+32470000567"))
    assert added == "con_5"


async def test_a_refusal_in_another_encoding_is_a_refusal(wire: Any, connect: Any) -> None:
    envelope = {"status": {"status": "failed", "errors": {"error_code": 514, "error_message": "NAME"}}}
    document = json.dumps(envelope).encode().replace(b"NAME", b"Num\xe9ro")
    error = await error_of(connect(await wire.answer(wire.http(200, document))).sms.create_group("x"))
    assert (type(error), error.code) == (Rejected, 514)


async def test_what_stands_under_data(wire: Any, connect: Any) -> None:
    answers = [{**OK, "data": {"groupid": 5}}, {**OK, "result": "saved", "data": {"groupid": 6}}]
    listing = json.loads(LISTED)
    del listing["status"]
    answers += [{**OK, "data": {**listing, "status": "active"}}, {"data": listing, **OK}]
    api = connect(await wire.answer(*(wire.http(200, answer) for answer in answers)))
    assert [(await api.sms.create_group(name)).group_id for name in "xy"] == ["gro_5", "gro_6"]
    for _ in range(2):
        async with api.sms.list_contacts("gro_1") as listed:
            assert [contact.contact_id async for contact in listed] == ["con_1"]
        assert listed.complete


@pytest.mark.parametrize(
    ("value", "identifier", "phone", "count"),
    [
        (119251.0, "gro_119251", "119251", 119251),
        (Decimal("32470000567.0"), "gro_32470000567", "+32470000567", 32470000567),
        (Decimal("3.2470000567E+10"), "gro_32470000567", "+32470000567", 32470000567),
        (Decimal("1230.0"), "gro_1230", "1230", 1230),
        # Digits may be lost here.
        (Decimal("3.247E+10"), None, "3.247E+10", None),
        (1.2345678901234568e29, None, "1.2345678901234568E+29", None),
        (Decimal("1E+999999"), None, "1E+999999", None),
        (1.5, None, "1.5", None),
        ("2.0", None, "2.0", 2),
        ("1.234", None, "1.234", None),
        (True, None, None, None),
    ],
)
def test_numbers_that_became_floats(
    value: object, identifier: str | None, phone: str | None, count: int | None
) -> None:
    told = (dialect.identifier("gro_", value), dialect.phone(value), dialect.count(value))
    assert told == (identifier, phone, count)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(("code", "kind"), [(999, MayHaveHappened), (None, MayHaveHappened), (304, Rejected)])
async def test_an_answer_that_tells_of_failure_and_success(
    wire: Any, connect: Any, status: int, code: int | None, kind: type
) -> None:
    """Only a code of the vendor's proves that nothing was done; any other code may come from a server in between."""
    failed = {"status": {"status": "failed", "errors": {"error_code": code, "error_message": "Oops"}}}
    api = connect(await wire.answer(wire.http(status, ADDED | failed)))
    assert type(await error_of(api.sms.add_contact(NewContact("gro_1", phone="+32470000567")))) is kind


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]
)
async def test_what_comes_before_the_answer(wire: Any, connect: Any, head: bytes) -> None:
    api = connect(await wire.answer(head * 2 + wire.http(200, CREATED)))
    assert await api.sms.create_group("x") == Group("gro_119251", "x")


# -- Is the listing complete and current? ---------------------------------------------------------------------------

WHOLE = json.loads(LISTED)


@pytest.mark.parametrize(
    ("status", "headers", "more", "complete"),
    [
        (200, {}, {}, True),
        (201, {"Age": "0", "CF-Cache-Status": "DYNAMIC", "X-Cache": "MISS", "X-Total-Count": "1"}, {}, True),
        (200, {"X-Cache": "TCP_REFRESH_MISS", "X-Proxy-Cache": "BYPASS"}, {}, True),
        (200, {"Link": "</a.css>; rel=preload"}, {"page": 1, "pages": 1, "total": "1", "next": None}, True),
        (200, {}, {"paging": {"next": "", "has_more": False}, "total_unsubscribed": 7, "credits": 500}, True),
        # A server that fails, or says that this is only a part, proves nothing.
        (503, {}, {}, False),
        (404, {}, {}, False),
        (206, {}, {}, False),
        (200, {"Content-Range": "items 0-0/500"}, {}, False),
        # A listing from a cache may be older than the call.
        (200, {"Age": "60"}, {}, False),
        (200, {"Age": "0, 60"}, {}, False),
        (200, {"X-Cache": "TCP_HIT from a23-1-2-3.deploy.akamaitechnologies.com"}, {}, False),
        (200, {"X-Symfony-Cache": "POST /v3/smstool/userlist: fresh"}, {}, False),
        (200, {"CF-Cache-Status": "HIT"}, {}, False),
        (200, {"X-Cache-Status": "STALE"}, {}, False),
        # The answer says that there is more elsewhere.
        (200, {"Link": '<https://x/?p=2>; rel="next"'}, {}, False),
        (200, {"X-Total-Count": "500"}, {}, False),
        (200, {}, {"page": 1, "total_pages": 3}, False),
        (200, {}, {"total": 500}, False),
        (200, {}, {"nextPage": "https://x/?p=2"}, False),
        (200, {}, {"has_more": True}, False),
        (200, {}, {"truncated": "1"}, False),
        (200, {}, {"meta": {"pagination": {"total": 500}}}, False),
        (200, {}, {"_links": {"next": {"href": "https://x/?p=2"}}}, False),
        # A field that comes twice, with different values, cannot be relied on.
        (200, {}, {"amount_of_contacts": "0", "data": {"amount_of_contacts": "1"}}, False),
    ],
)
async def test_is_it_all_and_of_now(
    *, wire: Any, connect: Any, status: int, headers: dict[str, str], more: dict[str, Any], complete: bool
) -> None:
    """If an incomplete or old listing were taken for proof that a contact is not there, the contact would be added twice."""
    api = connect(await wire.answer(wire.http(status, WHOLE | more, headers.items())))
    async with api.sms.list_contacts("gro_1") as listing:
        assert [contact.contact_id async for contact in listing] == ["con_1"]
    assert listing.complete is complete


async def test_a_row_that_tells_a_field_twice_cannot_be_read(wire: Any, connect: Any) -> None:
    document = LISTED.replace(b'"phone": ', b'"phone": "32470000111", "phone": ')
    api = connect(await wire.answer(wire.http(200, document)))
    async with api.sms.list_contacts("gro_1") as listing:
        assert [contact.contact_id async for contact in listing] == []
    assert (listing.skipped, listing.complete) == (1, False)
