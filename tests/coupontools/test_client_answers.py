"""What each answer means: statuses with and without an envelope, and every error the vendor documents."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from coupontools import (
    AccountRefused,
    Channel,
    Coupontools,
    CoupontoolsError,
    Group,
    MayHaveHappened,
    NewContact,
    NotCarriedOut,
    Rejected,
)

HTML = b"<html><body>gateway</body></html>"
OK_GROUP = {"status": {"status": "OK"}, "groupid": 119251}


def failed(code: Any, message: Any = "HTTP/1.0 422 Unprocessable entity.", description: Any = None) -> Any:
    errors = {"error_code": code, "error_message": message}
    if description is not None:
        errors["error_message_description"] = description
    return {"status": {"status": "failed", "errors": errors}}


async def call(api: Coupontools, endpoint: str) -> Any:
    """Call an endpoint by the name the documented errors below use."""
    channel, _, method = endpoint.rpartition(".")
    if method == "verification":
        return await api.webhooks.verify("evt_01234567890123456789")
    side = api.channel(channel)
    match method:
        case "addgroup":
            return await side.create_group("Example")
        case "addcontact":
            return await side.add_contact(NewContact("gro_1", phone="+123456789", email="john@doe.com"))
        case "grouplist":
            async with side.list_groups() as groups:
                return [group async for group in groups]
    async with side.list_contacts("gro_1") as contacts:
        return [contact async for contact in contacts]


async def meaning(wire: Any, connect: Any, answer: bytes, endpoint: str = "sms.addgroup") -> CoupontoolsError:
    with pytest.raises(CoupontoolsError) as raised:
        await call(connect(await wire.answer(answer)), endpoint)
    assert raised.value.__cause__ is None
    assert len(wire.requests) == 1
    return raised.value


EVERY_KIND = ["sms.addgroup", "email.addcontact", "sms.grouplist", "email.userlist", "verification"]


@pytest.mark.parametrize(
    "errors",
    [
        {"error_code": {"0": 1000}},
        {"error_code": [[1000]]},
        {"error_code": 1000.0},
        {"error_code": "1000.0"},
        {"error_message": "HTTP/1.0 401 Unauthorized. Client ID or Secret not correct."},
    ],
)
async def test_a_refused_account_however_it_is_written(wire: Any, connect: Any, errors: Any) -> None:
    """If this were taken for the job's fault, a whole backlog would fail."""
    document = {"status": {"status": "failed", "errors": errors}}
    error = await meaning(wire, connect, wire.http(200, document))
    assert type(error) is AccountRefused
    assert error.code in {1000, None}


@pytest.mark.parametrize("endpoint", EVERY_KIND)
@pytest.mark.parametrize(
    ("status", "kind", "outage"),
    [
        (200, MayHaveHappened, False),
        (204, MayHaveHappened, False),
        (301, AccountRefused, False),
        (302, AccountRefused, False),
        (307, AccountRefused, False),
        (400, MayHaveHappened, False),
        (401, AccountRefused, False),
        (403, AccountRefused, False),
        (404, MayHaveHappened, False),
        (408, MayHaveHappened, True),
        (429, NotCarriedOut, False),
        (500, MayHaveHappened, True),
        (502, MayHaveHappened, True),
        (503, MayHaveHappened, True),
        (504, MayHaveHappened, True),
    ],
)
async def test_status_without_an_envelope(
    *, wire: Any, connect: Any, status: int, kind: type, outage: bool, endpoint: str
) -> None:
    body = b"" if status == 204 else HTML
    answer = wire.http(status, body, [("Location", "http://[not/an address"), ("Retry-After", "7")])
    error = await meaning(wire, connect, answer, endpoint)
    assert type(error) is kind
    assert (error.status, error.code, error.retry_after, error.outage) == (status, None, 7.0, outage)
    assert "gateway" not in str(error)
    if isinstance(error, AccountRefused):
        assert error.scope == "account"


STATUSES = [200, 301, 400, 401, 403, 404, 408, 422, 500, 502, 503, 504]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("endpoint", ["sms.addgroup", "sms.userlist"])
async def test_envelope_decides_before_the_status(
    wire: Any, connect: Any, status: int, endpoint: str
) -> None:
    error = await meaning(wire, connect, wire.http(status, failed([514], description="No group")), endpoint)
    assert type(error) is Rejected
    assert (error.code, error.status, error.details, error.outage) == (514, status, ("No group",), False)


@pytest.mark.parametrize("status", [*STATUSES, 429])
async def test_refused_credentials_whatever_the_status(wire: Any, connect: Any, status: int) -> None:
    envelope = failed(1000, "HTTP/1.0 401 Unauthorized. Client ID or Secret not correct.")
    error = await meaning(wire, connect, wire.http(status, envelope))
    assert type(error) is AccountRefused
    assert (error.code, error.scope) == (1000, "account")
    assert error.message == "HTTP/1.0 401 Unauthorized. Client ID or Secret not correct."


@pytest.mark.parametrize("status", STATUSES)
async def test_success_whatever_the_status(wire: Any, connect: Any, status: int) -> None:
    api = connect(await wire.answer(wire.http(status, OK_GROUP)))
    assert await api.sms.create_group("x") == Group("gro_119251", "x")


ADD_CONTACT = [
    (200, "Missing parameter: smsgroup"),
    (301, "Invalid character in parameter: smsgroup"),
    (303, "incorrect format in birthday field, must be yyyy-MM-dd"),
    (514, "Group ID not found"),
]
DOCUMENTED = [
    *((f"{channel}.{method}", 103, "Your account is not connected with the Coupontools services")
      for channel in Channel for method in ("grouplist", "userlist", "addgroup", "addcontact")),
    *((f"{channel}.userlist", code, text)
      for channel in Channel for code, text in ADD_CONTACT if code != 303),
    *((f"{channel}.addcontact", code, text) for channel in Channel for code, text in ADD_CONTACT),
    ("sms.addcontact", 200, "Missing parameter: phone"),
    ("email.addcontact", 200, "Missing parameter: email"),
    ("verification", 200, "Missing parameter: webhook"),
    ("verification", 509, "Webhook not found"),
    # The vendor's public error list.
    *((endpoint, code, "Refused") for endpoint in EVERY_KIND
      for code in (1000, 101, 102, 103, 104, 300, 302, 304, 305)),
]  # fmt: skip


@pytest.mark.parametrize("form", ["number", "text", "list"])
@pytest.mark.parametrize(("endpoint", "code", "text"), DOCUMENTED)
async def test_documented_errors(
    *, wire: Any, connect: Any, endpoint: str, code: int, text: str, form: str
) -> None:
    envelope = {
        "number": failed(code, f"HTTP/1.0 422 Unprocessable entity. {text}"),
        "text": failed(str(code), f"HTTP/1.0 422 Unprocessable entity. {text}"),
        "list": failed([code], description=[text]),
    }[form]
    error = await meaning(wire, connect, wire.http(422, envelope), endpoint)
    assert error.code == code
    assert text in str(error)
    assert error.details == ((text,) if form == "list" else ())
    assert not error.outage
    if code in {1000, 101, 102}:
        assert isinstance(error, AccountRefused)
        assert error.scope == "account"
    elif code in {103, 104}:
        assert isinstance(error, AccountRefused)
        assert error.scope == ("account" if endpoint == "verification" else endpoint.partition(".")[0])
    else:
        assert type(error) is Rejected


@pytest.mark.parametrize(
    ("errors", "code", "message", "details"),
    [
        ({"error_code": ["509"]}, 509, "the API gave no reason", ()),
        ({"error_code": [300, 301], "error_message": ["a", "b"]}, 300, "a; b", ()),
        ({"error_code": 999, "error_message": "m", "error_message_description": "d"}, 999, "m", ("d",)),
        ({"error_code": 503, "error_message": "m"}, 503, "m", ()),
        ([{"error_code": 301, "error_message": "m"}, {"error_code": 302}], 301, "m", ()),
        ({"0": {"error_code": 301, "error_message": "m"}, "2": {"error_code": 302}}, 301, "m", ()),
        ({"error_code": {"1": 301}, "error_message_description": {"1": "d", "3": "e"}},
         301, "the API gave no reason", ("d", "e")),
        ({"error_code": "what?", "error_message": "m"}, None, "m", ()),
        ({"error_code": None, "error_message": None, "error_message_description": {}},
         None, "the API gave no reason", ()),
        (None, None, "the API gave no reason", ()),
        ("text", None, "the API gave no reason", ()),
    ],
)  # fmt: skip
async def test_shapes_of_the_envelope(
    *, wire: Any, connect: Any, errors: Any, code: int | None, message: str, details: tuple[str, ...]
) -> None:
    envelope = {"status": {"status": "failed", "errors": errors}}
    error = await meaning(wire, connect, wire.http(200, envelope))
    assert type(error) is Rejected
    assert (error.code, error.message, error.details) == (code, message, details)


async def test_an_account_code_among_others_decides(wire: Any, connect: Any) -> None:
    error = await meaning(wire, connect, wire.http(422, failed([200, 103, 101])))
    assert isinstance(error, AccountRefused)
    assert error.scope == "account"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AccountRefused), (403, AccountRefused), (408, MayHaveHappened), (500, MayHaveHappened)],
)
@pytest.mark.parametrize("errors", [{}, {"error_code": 0}, {"error_code": [0]}])
async def test_failure_without_a_code_says_no_more_than_the_status(
    wire: Any, connect: Any, status: int, kind: type, errors: dict[str, Any]
) -> None:
    envelope = {"status": {"status": "failed", "errors": {"error_message": "Oops"} | errors}}
    assert type(await meaning(wire, connect, wire.http(status, envelope))) is kind


NO_CODE_OF_THE_VENDORS = [0, [0], "0", 503, [503], 599, 999, [408], None]


@pytest.mark.parametrize("endpoint", ["sms.addgroup", "sms.userlist"])
@pytest.mark.parametrize("code", NO_CODE_OF_THE_VENDORS)
@pytest.mark.parametrize("status", [408, 500, 502, 503, 599])
async def test_a_server_that_fails_may_have_carried_out(
    *, wire: Any, connect: Any, status: int, code: Any, endpoint: str
) -> None:
    """A failed envelope from a gateway or a framework does not prove that nothing happened."""
    answer = wire.http(status, failed(code, "Oops", ["Try later"]), [("Retry-After", "7")])
    error = await meaning(wire, connect, answer, endpoint)
    assert type(error) is MayHaveHappened
    assert (error.status, error.retry_after, error.outage) == (status, 7.0, True)
    assert (error.message, error.details) == ("Oops", ("Try later",))


@pytest.mark.parametrize("code", NO_CODE_OF_THE_VENDORS)
@pytest.mark.parametrize("status", [200, 400, 422])
@pytest.mark.parametrize(
    ("message", "details", "kind"),
    [
        ("HTTP/1.0 500 Internal Server Error", [], MayHaveHappened),
        (" http/1.1 503 Service Unavailable. Try later", [], MayHaveHappened),
        ("Oops", ["HTTP/1.1 504 Gateway Timeout"], MayHaveHappened),
        ("HTTP/1.0 422 Unprocessable entity.", ["HTTP/1.0 5 is no status"], Rejected),
        ("Error 500", [], Rejected),
    ],
)
async def test_the_text_of_a_server_that_fails(
    *, wire: Any, connect: Any, status: int, code: Any, message: str, details: list[str], kind: type
) -> None:
    error = await meaning(wire, connect, wire.http(status, failed(code, message, details)))
    assert type(error) is kind
    assert error.outage is (kind is MayHaveHappened)


@pytest.mark.parametrize("code", [200, 300, 301, 302, 303, 304, 305, 509, 514])
async def test_a_code_of_the_vendors_decides_before_the_text(wire: Any, connect: Any, code: int) -> None:
    envelope = failed([599, code], "HTTP/1.0 500 Internal Server Error")
    error = await meaning(wire, connect, wire.http(500, envelope))
    assert type(error) is Rejected
    assert error.code == code


@pytest.mark.parametrize("code", [0, 999])
async def test_a_failure_under_a_redirect_is_a_redirect(wire: Any, connect: Any, code: int) -> None:
    error = await meaning(wire, connect, wire.http(302, failed(code)))
    assert type(error) is AccountRefused


@pytest.mark.parametrize(
    "text", ["Corporate limit of contacts reached", "Moderate limits apply", "A separate limit"]
)
@pytest.mark.parametrize("code", [None, 999])
async def test_a_limit_that_is_not_about_pace(wire: Any, connect: Any, text: str, code: int | None) -> None:
    """If this were taken for too many requests, it would pause the whole account again and again."""
    error = await meaning(wire, connect, wire.http(422, failed(code, "HTTP/1.0 422", [text])))
    assert type(error) is Rejected


@pytest.mark.parametrize("endpoint", ["sms.addgroup", "sms.grouplist"])
@pytest.mark.parametrize(
    ("status", "envelope"),
    [
        (429, failed(514)),
        (429, failed(999, "Slow down")),
        (429, {"status": {"status": "failed"}}),
        (200, failed(429, "Slow down")),
        (200, failed(999, "HTTP/1.0 429 Too Many Requests.")),
        (200, failed([999], description=["Rate limit reached"])),
        (422, failed(None, "Too many requests, try again later")),
    ],
)
async def test_too_many_requests(wire: Any, connect: Any, status: int, envelope: Any, endpoint: str) -> None:
    answer = wire.http(status, envelope, [("Retry-After", "1.5")])
    error = await meaning(wire, connect, answer, endpoint)
    assert type(error) is NotCarriedOut
    assert (error.retry_after, error.status) == (1.5, status)


async def test_a_value_of_ours_that_is_repeated_is_not_taken_for_too_many(wire: Any, connect: Any) -> None:
    error = await meaning(wire, connect, wire.http(422, failed(300, "Wrong value: too many requests")))
    assert type(error) is Rejected


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("envelope", [HTML, failed(429, "Slow down")], ids=["html", "envelope"])
@pytest.mark.parametrize("own_date", [True, False])
async def test_retry_after_as_a_date(
    wire: Any, connect: Any, status: int, envelope: Any, own_date: bool
) -> None:
    now = datetime.now(UTC)
    headers = [("Retry-After", format_datetime(now + timedelta(seconds=90), usegmt=True))]
    if own_date:
        # A server whose clock is an hour ahead means 90 seconds all the same.
        ahead = now + timedelta(hours=1)
        headers = [
            ("Date", format_datetime(ahead, usegmt=True)),
            ("Retry-After", format_datetime(ahead + timedelta(seconds=90), usegmt=True)),
        ]
    error = await meaning(wire, connect, wire.http(status, envelope, headers))
    assert error.retry_after == pytest.approx(90, abs=15)


async def test_errors_repeat_neither_the_secret_nor_what_was_sent(
    wire: Any, connect: Any, secret: str
) -> None:
    envelope = failed([1000], f"Wrong secret {secret}", [f"{secret} is wrong", "x" * 10_000])
    with pytest.raises(AccountRefused) as raised:
        await connect(await wire.answer(wire.http(401, envelope))).sms.add_contact(
            NewContact("gro_1", phone="+123456789", first_name="Ottoline")
        )
    error = raised.value
    shown = f"{error} {error!r} {error.message} {error.details}"
    assert secret not in shown
    assert "Wrong secret ***" in shown
    assert "Ottoline" not in shown
    assert "123456789" not in shown
    assert all(len(text) <= 500 for text in error.details)


async def test_redirects_are_not_followed(wire: Any, connect: Any) -> None:
    elsewhere = await wire.answer(wire.http(200, OK_GROUP))
    answer = wire.http(307, b"", [("Location", f"{elsewhere}/v3/smstool/addgroup")])
    error = await meaning(wire, connect, answer)
    assert isinstance(error, AccountRefused)
    assert "redirects" in error.message


async def test_the_connection_survives_an_error_answer(wire: Any, connect: Any) -> None:
    api = connect(await wire.answer(wire.http(422, failed(514)), wire.http(200, OK_GROUP)))
    with pytest.raises(Rejected):
        await api.sms.create_group("x")
    assert await asyncio.wait_for(api.sms.create_group("x"), 10) == Group("gro_119251", "x")
    assert wire.connections == 1
