"""Every documented error of every endpoint, in both forms of the envelope and under either HTTP status."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sandbox import Sandbox

Api = Callable[..., httpx.Response]

GROUP = "gro_1"
SMS_CONTACT = {"smsgroup": GROUP, "phone": "+123456789"}
EMAIL_CONTACT = {"emailgroup": GROUP, "email": "john@doe.com"}
BIRTHDAY = "incorrect format in birthday field, must be yyyy-MM-dd"

REFUSED: list[tuple[str, dict[str, Any], tuple[int, str]]] = [
    ("sms/userlist", {}, (200, "Missing parameter: smsgroup")),
    ("sms/userlist", {"smsgroup": ""}, (200, "Missing parameter: smsgroup")),
    ("sms/userlist", {"smsgroup": "gro_1; --"}, (301, "Invalid character in parameter: smsgroup")),
    ("sms/userlist", {"smsgroup": "gro_1\n"}, (301, "Invalid character in parameter: smsgroup")),
    ("sms/userlist", {"smsgroup": "gro_404"}, (514, "Group ID not found")),
    ("sms/addgroup", {}, (200, "Missing parameter: group_name")),
    ("sms/addcontact", {"smsgroup": GROUP}, (200, "Missing parameter: phone")),
    ("sms/addcontact", {"phone": "+123456789"}, (200, "Missing parameter: smsgroup")),
    (
        "sms/addcontact",
        {**SMS_CONTACT, "smsgroup": "gro-1"},
        (301, "Invalid character in parameter: smsgroup"),
    ),
    ("sms/addcontact", {**SMS_CONTACT, "smsgroup": 7}, (301, "Invalid character in parameter: smsgroup")),
    ("sms/addcontact", {**SMS_CONTACT, "birthday": "01/02/1980"}, (303, BIRTHDAY)),
    ("sms/addcontact", {**SMS_CONTACT, "birthday": "1980-02-30"}, (303, BIRTHDAY)),
    ("sms/addcontact", {**SMS_CONTACT, "smsgroup": "gro_404"}, (514, "Group ID not found")),
    ("sms/addcontact", {**SMS_CONTACT, "phone": "pizza"}, (300, "Wrong value in parameter: phone")),
    ("email/userlist", {}, (200, "Missing parameter: emailgroup")),
    ("email/userlist", {"emailgroup": "gro 1"}, (301, "Invalid character in parameter: emailgroup")),
    ("email/userlist", {"emailgroup": "gro_404"}, (514, "Group ID not found")),
    ("email/addgroup", {"group_name": " "}, (200, "Missing parameter: group_name")),
    ("email/addcontact", {"emailgroup": GROUP}, (200, "Missing parameter: email")),
    ("email/addcontact", {"email": "john@doe.com"}, (200, "Missing parameter: emailgroup")),
    (
        "email/addcontact",
        {**EMAIL_CONTACT, "emailgroup": "gro.1"},
        (301, "Invalid character in parameter: emailgroup"),
    ),
    ("email/addcontact", {**EMAIL_CONTACT, "birthday": "19800131"}, (303, BIRTHDAY)),
    ("email/addcontact", {**EMAIL_CONTACT, "emailgroup": "gro_404"}, (514, "Group ID not found")),
    ("email/addcontact", {**EMAIL_CONTACT, "email": "john@doe"}, (305, "Email not valid")),
    ("webhook/verification", {}, (200, "Missing parameter: webhook")),
    ("webhook/verification", {"webhook": "evt_01234567890123456789"}, (509, "Webhook not found")),
    ("webhook/verification", {"webhook": "922"}, (509, "Webhook not found")),
]


def list_form(*errors: tuple[int, str]) -> dict[str, Any]:
    return {
        "status": {
            "status": "failed",
            "errors": {
                "error_message": "HTTP/1.0 422 Unprocessable entity.",
                "error_message_description": [text for _, text in errors],
                "error_code": [code for code, _ in errors],
            },
        }
    }


def number_form(code: int, message: str) -> dict[str, Any]:
    return {"status": {"status": "failed", "errors": {"error_code": code, "error_message": message}}}


BAD_CREDENTIALS = number_form(1000, "HTTP/1.0 401 Unauthorized. Client ID or Secret not correct.")


@pytest.mark.parametrize(("endpoint", "parameters", "error"), REFUSED)
def test_a_documented_error(
    sandbox: Sandbox, api: Api, endpoint: str, parameters: dict[str, Any], error: tuple[int, str]
) -> None:
    for channel in ("sms", "email"):
        sandbox.add_groups(channel, group_id=GROUP)
    response = api(endpoint, **parameters)
    assert response.json() == list_form(error)
    assert response.status_code == 422
    (request,) = sandbox.requests()
    assert (request["carried_out"], request["codes"]) == (False, [error[0]])
    assert sandbox.state()["counts"]["contacts"] == 0


@pytest.mark.parametrize(
    ("endpoint", "service"),
    [
        (f"{channel}/{name}", service)
        for channel, service in (("sms", "SMS"), ("email", "Email"))
        for name in ("grouplist", "userlist", "addgroup", "addcontact")
    ],
)
def test_103_is_worded_for_its_channel(sandbox: Sandbox, api: Api, endpoint: str, service: str) -> None:
    sandbox.faults("account_error", code=103)
    text = f"Your account is not connected with the Coupontools {service} services"
    assert api(endpoint).json() == list_form((103, text))


@pytest.mark.parametrize(
    "credentials",
    [
        {"X-Client-Id": "sandbox-id", "X-Client-Secret": "wrong"},
        {"X-Client-Id": "wrong", "X-Client-Secret": "sandbox-secret"},
        {"X-Client-Id": "sandbox-id"},
        {},
    ],
)
def test_wrong_credentials_are_1000(sandbox: Sandbox, credentials: dict[str, str]) -> None:
    response = httpx.post(f"{sandbox.url}/v3/smstool/addgroup", json={"group_name": "A"}, headers=credentials)
    assert response.json() == BAD_CREDENTIALS
    assert response.status_code == 401
    assert sandbox.state()["groups"] == []


def test_credentials_can_be_changed_while_it_runs(sandbox: Sandbox, api: Api) -> None:
    shown = sandbox.settings(client_id="other", client_secret="turned")
    assert "client_secret" not in shown
    assert api("sms/grouplist").status_code == 401
    other = {"X-Client-Id": "other", "X-Client-Secret": "turned"}
    assert api("sms/grouplist", headers=other).status_code == 200


def test_all_missing_parameters_are_named_at_once(api: Api) -> None:
    assert api("sms/addcontact").json() == list_form(
        (200, "Missing parameter: phone"), (200, "Missing parameter: smsgroup")
    )


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'"text"', b"\xff"])
def test_a_body_that_is_no_object_has_no_parameters(sandbox: Sandbox, body: bytes) -> None:
    headers = {"X-Client-Id": "sandbox-id", "X-Client-Secret": "sandbox-secret"}
    response = httpx.post(f"{sandbox.url}/v3/smstool/userlist", content=body, headers=headers)
    assert response.json() == list_form((200, "Missing parameter: smsgroup"))
    assert httpx.post(f"{sandbox.url}/v3/smstool/grouplist", content=body, headers=headers).status_code == 200


def test_failures_can_come_with_http_200(sandbox: Sandbox, api: Api) -> None:
    sandbox.settings(envelope_status="200")
    response = api("webhook/verification", webhook="evt_1")
    assert (response.status_code, response.json()) == (200, list_form((509, "Webhook not found")))
    response = api("sms/grouplist", headers={"X-Client-Secret": "wrong"})
    assert (response.status_code, response.json()) == (200, BAD_CREDENTIALS)


def test_either_form_can_be_asked_for_any_code(sandbox: Sandbox, api: Api) -> None:
    sandbox.settings(envelope_form="number")
    assert api("webhook/verification", webhook="evt_1").json() == number_form(
        509, "HTTP/1.0 422 Unprocessable entity. Webhook not found"
    )
    sandbox.settings(envelope_form="list")
    response = api("sms/grouplist", headers={"X-Client-Secret": "wrong"})
    errors = response.json()["status"]["errors"]
    assert errors == {
        "error_message": "HTTP/1.0 401 Unauthorized.",
        "error_message_description": ["Client ID or Secret not correct."],
        "error_code": [1000],
    }
