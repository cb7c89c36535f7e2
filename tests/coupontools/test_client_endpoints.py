"""Each endpoint as the vendor documents it: what is sent, and how the documented answer is read."""

import asyncio
from typing import Any

import pytest

from coupontools import Call, Channel, Contact, Coupontools, Group, MayHaveHappened, NewContact

OK = {"status": {"status": "OK"}}

ADDED_SMS = OK | {
    "group_id": "gro_123456",
    "phone": "1234566778899",
    "first_name": "Bill",
    "last_name": "Jackson",
    "result": "saved_successfully",
    "contact_id": "con_12345678",
}
ADDED_EMAIL = OK | {
    "group_id": "gro_123456",
    "email": "test@test.com",
    "first_name": "Bill",
    "last_name": "Jackson",
    "result": "saved_successfully",
    "contact_id": "con_12345678",
}
CONTACTS = OK | {
    "group_id": "gro_123456",
    "group_name": "Subscribers to keyword pizza",
    "amount_of_contacts": "2",
    "contact": [
        {
            "ID": "con_123456",
            "phone": "123456789012",
            "first_name": "John",
            "last_name": "Doe",
            "unsubscribed": "1",
            "unsubscribedate": "13/07/2018 19:47 UTC",
        },
        {
            "ID": "con_1234567",
            "phone": "441234567890",
            "first_name": "Jeff",
            "last_name": "Jefferson",
            "unsubscribed": "0",
        },
    ],
}


async def test_add_contact_sms(wire: Any, connect: Any, secret: str) -> None:
    api = connect(await wire.answer(wire.http(200, ADDED_SMS)))
    contact = NewContact(
        "gro_123456",
        phone="+1234566778899",
        first_name="Zoë 🍕",
        last_name="Doe",
        custom_fields={"1": "a", "7": "ü"},
    )
    added = await api.sms.add_contact(contact)
    assert added == "con_12345678"
    (request,) = wire.requests
    assert request.path == "/v3/smstool/addcontact"
    assert request.json() == {
        "smsgroup": "gro_123456",
        "phone": "+1234566778899",
        "first_name": "Zoë 🍕",
        "last_name": "Doe",
        "customfield1": "a",
        "customfield7": "ü",
    }
    assert "Zoë 🍕".encode() in request.body
    assert request.headers["x-client-id"] == "the-id"
    assert request.headers["x-client-secret"] == secret
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "gzip"
    assert request.headers["user-agent"].startswith("coupontools-worker/")
    assert {"idempotency-key", "traceparent", "cookie"}.isdisjoint(request.headers)


async def test_add_contact_email(wire: Any, connect: Any) -> None:
    api = connect(await wire.answer(wire.http(200, ADDED_EMAIL)))
    contact = NewContact("gro_123456", email="test@test.com", custom_fields={"10": "x"})
    added = await api.email.add_contact(contact)
    assert added == "con_12345678"
    assert wire.requests[0].path == "/v3/emailtool/addcontact"
    assert wire.requests[0].json() == {
        "emailgroup": "gro_123456",
        "email": "test@test.com",
        "custom10": "x",
    }


@pytest.mark.parametrize(
    ("channel", "contact"),
    [
        (Channel.SMS, NewContact("gro_1", email="john@doe.com")),
        (Channel.EMAIL, NewContact("gro_1", phone="+123456789")),
        (Channel.SMS, NewContact("gro_1", phone="+123456789", custom_fields={"8": "x"})),
        (Channel.EMAIL, NewContact("gro_1", email="john@doe.com", custom_fields={"11": "x"})),
        (Channel.SMS, NewContact("gro_1", phone="+123456789", first_name="\ud800")),
    ],
)
async def test_a_contact_that_does_not_fit_the_channel_is_not_sent(
    wire: Any, connect: Any, channel: Channel, contact: NewContact
) -> None:
    api = connect(await wire.answer(wire.http(200, ADDED_SMS)))
    with pytest.raises(ValueError, match=r"channel|surrogate"):
        await api.channel(channel).add_contact(contact)
    assert wire.connections == 0


@pytest.mark.parametrize(
    ("channel", "path", "answer"),
    [
        (Channel.SMS, "/v3/smstool/addgroup", {"result": "saved_successfully", "groupid": 119251}),
        (Channel.EMAIL, "/v3/emailtool/addgroup", {"result": "saved_successfully", "group_id": "gro_119251"}),
        (Channel.SMS, "/v3/smstool/addgroup", {"groupid": "119251"}),
        (Channel.EMAIL, "/v3/emailtool/addgroup", {"group_id": "119251"}),
        (Channel.SMS, "/v3/smstool/addgroup", {"group_id": "gro_119251"}),
    ],
)
async def test_create_group(wire: Any, connect: Any, channel: Channel, path: str, answer: Any) -> None:
    api = connect(await wire.answer(wire.http(200, OK | answer)))
    assert await api.channel(channel).create_group("Exämple") == Group("gro_119251", "Exämple")
    assert wire.requests[0].path == path
    assert wire.requests[0].json() == {"group_name": "Exämple"}


@pytest.mark.parametrize(
    "answer",
    [{}, {"groupid": None}, {"groupid": 0}, {"group_id": "gro_0"}, {"groupid": ""}, {"groupid": "<b>"}],
)
async def test_a_created_group_without_an_id_may_have_happened(wire: Any, connect: Any, answer: Any) -> None:
    api = connect(await wire.answer(wire.http(200, OK | answer)))
    with pytest.raises(MayHaveHappened, match="no group id") as raised:
        await api.sms.create_group("Example")
    assert raised.value.status == 200
    assert not raised.value.outage


@pytest.mark.parametrize("contact_id", [None, "", 0, "con_", "con_0", False, ["con_1"]])
async def test_an_added_contact_without_an_id_may_have_happened(
    wire: Any, connect: Any, contact_id: Any
) -> None:
    api = connect(await wire.answer(wire.http(200, ADDED_SMS | {"contact_id": contact_id})))
    with pytest.raises(MayHaveHappened, match="no contact id"):
        await api.sms.add_contact(NewContact("gro_1", phone="+123456789"))


@pytest.mark.parametrize(("channel", "tool"), [(Channel.SMS, "smstool"), (Channel.EMAIL, "emailtool")])
async def test_list_groups(wire: Any, connect: Any, channel: Channel, tool: str) -> None:
    answer = OK | {
        "amount_of_groups": 2,
        "group": [{"ID": "gro_123456", "name": "pizza"}, {"ID": 1243434, "name": "burger"}],
    }
    api = connect(await wire.answer(wire.http(200, answer)))
    async with api.channel(channel).list_groups() as listing:
        groups = [group async for group in listing]
    assert groups == [Group("gro_123456", "pizza"), Group("gro_1243434", "burger")]
    assert (listing.amount, listing.seen, listing.complete) == (2, 2, True)
    assert listing.group_name is None
    assert wire.requests[0].path == f"/v3/{tool}/grouplist"
    assert wire.requests[0].json() == {}


@pytest.mark.parametrize(
    ("channel", "path", "parameter"),
    [
        (Channel.SMS, "/v3/smstool/userlist", "smsgroup"),
        (Channel.EMAIL, "/v3/emailtool/userlist", "emailgroup"),
    ],
)
async def test_list_contacts(wire: Any, connect: Any, channel: Channel, path: str, parameter: str) -> None:
    api = connect(await wire.answer(wire.http(200, CONTACTS)))
    async with api.channel(channel).list_contacts("gro_123456") as listing:
        contacts = [contact async for contact in listing]
    assert contacts == [
        Contact("con_123456", "+123456789012", None, "John", "Doe", True, "2018-07-13T19:47:00Z"),
        Contact("con_1234567", "+441234567890", None, "Jeff", "Jefferson", False, None),
    ]
    assert listing.group_name == "Subscribers to keyword pizza"
    assert (listing.amount, listing.complete) == (2, True)
    assert wire.requests[0].path == path
    assert wire.requests[0].json() == {parameter: "gro_123456"}


async def test_verify(wire: Any, connect: Any) -> None:
    fields = {
        "webhook": "evt_01234567890123456789",
        "datetime": "2020-12-01 01:23:45",
        "type": "coupon_claimed",
        "coupon": "cam_12345",
        "statcode": "012345678901234567890",
        "unknown": {"to": ["us", 1]},
    }
    api = connect(await wire.answer(wire.http(200, OK | fields)))
    record = await api.webhooks.verify("evt_01234567890123456789")
    assert record == fields
    assert wire.requests[0].path == "/v4/webhook/verification"
    assert wire.requests[0].json() == {"webhook": "evt_01234567890123456789"}


async def test_verify_of_the_older_version_names_no_id(wire: Any, connect: Any) -> None:
    api = connect(await wire.answer(wire.http(200, OK | {"date": "2020-12-01", "result": "known"})))
    record = await api.webhooks.verify("evt_1")
    assert record == {"date": "2020-12-01", "result": "known"}


async def test_a_verification_that_says_nothing_is_no_answer(wire: Any, connect: Any) -> None:
    api = connect(await wire.answer(wire.http(200, OK)))
    with pytest.raises(MayHaveHappened, match="says nothing"):
        await api.webhooks.verify("evt_1")


@pytest.mark.parametrize(
    ("key", "header"),
    [
        ("order-17/a b~", "order-17/a b~"),
        ("é\n", "%C3%A9%0A"),
        ("100%", "100%25"),
        (" padded ", "%20padded%20"),
        ("\ud800", "%ED%A0%80"),
        ("k" * 255, "k" * 255),
    ],
)
async def test_the_extras_of_a_call_become_headers(wire: Any, connect: Any, key: str, header: str) -> None:
    api = connect(await wire.answer(wire.http(200, OK | {"groupid": 1})))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await api.sms.create_group("x", Call(idempotency_key=key, traceparent=trace))
    assert wire.requests[0].headers["idempotency-key"] == header
    assert wire.requests[0].headers["traceparent"] == trace


async def test_an_invalid_traceparent_is_left_out(wire: Any, connect: Any) -> None:
    api = connect(await wire.answer(wire.http(200, OK | {"groupid": 1})))
    await api.sms.create_group("x", Call(traceparent="00-abc\r\nX-Injected: 1"))
    assert {"traceparent", "x-injected"}.isdisjoint(wire.requests[0].headers)


async def test_a_base_url_may_have_a_path(wire: Any, connect: Any) -> None:
    api = connect(await wire.answer(wire.http(200, OK | {"groupid": 1})) + "/proxy/")
    await api.sms.create_group("x")
    assert wire.requests[0].path == "/proxy/v3/smstool/addgroup"


async def test_cookies_and_proxies_are_ignored(
    wire: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    cookie = [("Set-Cookie", "session=1; Path=/")]
    answers = (wire.http(200, OK | {"groupid": number}, cookie) for number in (1, 2))
    api = connect(await wire.answer(*answers))
    await api.sms.create_group("x")
    await api.sms.create_group("y")
    assert [request.headers.get("cookie") for request in wire.requests] == [None, None]


async def test_connections_are_kept_for_as_many_calls_as_may_run(wire: Any, connect: Any) -> None:
    api = connect(await wire.answer(wire.http(200, OK | {"groupid": 1})), max_connections=16)
    for _ in range(3):
        await asyncio.gather(*(api.sms.create_group("x") for _ in range(16)))
    assert len(wire.requests) == 48
    assert wire.connections == 16


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "ftp://example.com"},
        {"base_url": "https://"},
        {"base_url": "https://user:hidden-word@example.com"},
        {"base_url": "https://example.com/?a=b"},
        {"base_url": "https://exa mple.com"},
        {"base_url": "https://example.com:99999"},
        {"base_url": "http://example.com"},
        {"client_id": ""},
        {"client_secret": "hidden-word\r\nX-Injected: 1"},
        {"client_secret": "hidden-wörd"},
    ],
)
def test_wrong_settings_are_refused_without_showing_them(settings: dict[str, str]) -> None:
    right = {"base_url": "https://example.com", "client_id": "id", "client_secret": "secret"}
    with pytest.raises(ValueError, match=r"^(base_url|client_id|client_secret) must ") as raised:
        Coupontools(**(right | settings))  # type: ignore[arg-type]
    assert "hidden" not in str(raised.value)


async def test_the_secret_is_not_shown(connect: Any, secret: str) -> None:
    api = connect("https://example.com")
    assert secret not in repr(api) + repr(api.sms) + repr(api.webhooks)


async def test_a_channel_is_found_by_name(connect: Any) -> None:
    api = connect("https://example.com")
    assert api.channel("sms") is api.sms
    assert api.channel(Channel.EMAIL) is api.email
    with pytest.raises(ValueError, match="fax"):
        api.channel("fax")
