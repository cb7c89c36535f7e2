"""The forms in which the sandbox can write an answer, each as an API client sees it."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sandbox import Sandbox, SandboxControlError
from sandbox.shapes import SHAPES

Api = Callable[..., httpx.Response]

NAME = 'Tom\'s "R&D" group'
ROWS = [
    {"phone": "+32470123567", "first_name": "Ada"},
    {"phone": "+32470000001", "first_name": "Bob"},
]


def listed(sandbox: Sandbox, api: Api, *shapes: str, rows: list[dict[str, Any]] = ROWS) -> httpx.Response:
    sandbox.add_groups("sms", group_id="gro_1", name=NAME, contacts=rows)
    sandbox.faults("shaped", shapes=list(shapes))
    return api("sms/userlist", smsgroup="gro_1")


def names(sandbox: Sandbox, api: Api, shape: str) -> tuple[Any, Any]:
    """Return the group's name in `userlist` and in `grouplist`."""
    told = listed(sandbox, api, shape).json()["group_name"]
    (group,) = api("sms/grouplist").json()["group"]
    return told, group["name"]


@pytest.mark.parametrize(
    ("shape", "phone"),
    [
        ("masked", "32*****567"),
        ("national", "0470123567"),
        ("double_zero", "0032470123567"),
        ("no_address", None),
    ],
)
def test_numbers(sandbox: Sandbox, api: Api, shape: str, phone: str | None) -> None:
    assert listed(sandbox, api, shape).json()["contact"][0].get("phone") == phone


def test_addresses(sandbox: Sandbox, api: Api) -> None:
    sandbox.settings(email_listing=True)
    sandbox.add_groups("email", group_id="gro_1", contacts=[{"email": "o'brien@faß.example.de"}])
    for shape, told in {
        "masked": "o***@faß.example.de",
        "escaped_addresses": "o&#x27;brien@faß.example.de",
        "ascii_addresses": "o'brien@xn--fa-hia.example.de",
    }.items():
        sandbox.faults("shaped", shapes=[shape], count=1)
        (row,) = api("email/userlist", emailgroup="gro_1").json()["contact"]
        assert row["email"] == told
    sandbox.faults("shaped", shapes=["no_address"])
    (row,) = api("email/userlist", emailgroup="gro_1").json()["contact"]
    assert "email" not in row


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ("null_names", None),
        ("cut_names", NAME[:8]),
        ("upper_names", NAME.upper()),
        ("url_names", "Tom%27s+%22R%26D%22+group"),
        ("counted_names", f"{NAME} (2)"),
        ("slashed_names", r"Tom\'s \"R&D\" group"),
        ("escaped_names", "Tom&#x27;s &quot;R&amp;D&quot; group"),
        ("twice_escaped_names", "Tom&amp;#x27;s &amp;quot;R&amp;amp;D&amp;quot; group"),
    ],
)
def test_names(sandbox: Sandbox, api: Api, shape: str, name: str | None) -> None:
    assert names(sandbox, api, shape) == (name, name)


@pytest.mark.parametrize(
    ("shape", "field", "told"),
    [
        ("other_group", "group_id", "gro_999999999"),
        ("odd_ids", "group_id", "odd_1"),
        ("amount_with_commas", "amount_of_contacts", "1,234"),
        ("amount_in_words", "amount_of_contacts", "many"),
        ("larger_amount", "amount_of_contacts", 1235),
        ("next_page", "next_page", 2),
    ],
)
def test_what_stands_beside_the_rows(
    sandbox: Sandbox, api: Api, shape: str, field: str, told: object
) -> None:
    assert listed(sandbox, api, shape, rows=[{}] * 1234).json()[field] == told


def test_rows_that_differ_from_the_group(sandbox: Sandbox, api: Api) -> None:
    first, second = listed(sandbox, api, "repeated_row").json()["contact"]
    assert first == second
    sandbox.clear_faults()
    sandbox.faults("shaped", shapes=["missing_row"])
    assert api("sms/userlist", smsgroup="gro_1").json()["contact"] == [first]


@pytest.mark.parametrize(
    ("shape", "written"),
    [
        ("null_id", b'"contact":[{"ID":null,'),
        ("text_row", b'"contact":["text",{'),
        ("control_byte", b'"first_name":"Zoe\x0b"'),
        ("latin1_byte", b'"first_name":"Zo\xeb"'),
        ("numbered_rows", b'"contact":{"1":{"ID":"con_12345678"'),
        ("odd_ids", b'"ID":"odd_12345678"'),
        ("largest_number", b'"phone":2147483647'),
        ("wrapped_numbers", b'"phone":"2405352495"'),
        ("float_numbers", b'"phone":32470123567.0'),
        ("under_data", b'{"status":{"status":"OK"},"data":{"group_id":"gro_1"'),
        ("notice", b'</b><br />\n{"status"'),
        ("marks", b'\xef\xbb\xbf\r\n\xef\xbb\xbf{"status"'),
    ],
)
def test_bad_rows(sandbox: Sandbox, api: Api, shape: str, written: bytes) -> None:
    answer = listed(sandbox, api, shape).content
    assert written in answer
    assert b'"Bob"' in answer


@pytest.mark.parametrize(
    ("shape", "rows", "written"),
    [
        ("bare_row", ROWS[:1], b'"contact":{"ID":"con_12345678"'),
        ("bare_row", ROWS, b'"contact":[{'),
        ("empty_text", [], b'"contact":""'),
        ("empty_null", [], b'"contact":null'),
        ("empty_null", ROWS, b'"contact":[{'),
    ],
)
def test_short_lists(
    sandbox: Sandbox, api: Api, shape: str, rows: list[dict[str, Any]], written: bytes
) -> None:
    assert written in listed(sandbox, api, shape, rows=rows).content


def test_shapes_apply_one_after_the_other(sandbox: Sandbox, api: Api) -> None:
    told = listed(sandbox, api, "numbered_rows", "text_row", "masked").json()
    assert told["contact"]["1"]["phone"] == "32*****567"
    assert told["contact"]["2"]["phone"] == "32*****001"


def test_answers_of_other_calls(sandbox: Sandbox, api: Api) -> None:
    sandbox.add_groups("sms", group_id="gro_1")
    webhook = sandbox.issue_webhook("coupon_claimed")
    sandbox.faults("shaped", shapes=["odd_ids", "other_webhook", "masked"])
    added = api("sms/addcontact", smsgroup="gro_1", phone="+32470123567").json()
    assert (added["contact_id"], added["group_id"], added["phone"]) == ("odd_12345678", "odd_1", "32*****567")
    assert api("sms/addgroup", group_name="Pizza").json()["groupid"] == "odd_119251"
    assert api("webhook/verification", webhook=webhook["id"]).json()["webhook"] != webhook["id"]
    assert sandbox.state()["counts"]["contacts"] == 1
    assert [request["carried_out"] for request in sandbox.requests()] == [True] * 3


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ("error_beside_ok", {"error": "Webhook not found"}),
        ("message_alone", {"message": "no result"}),
        ("empty_record", dict.fromkeys(["webhook", "type", "datetime", "coupon", "statcode"], "")),
    ],
)
def test_verifications_that_say_nothing(sandbox: Sandbox, api: Api, shape: str, told: dict[str, str]) -> None:
    webhook = sandbox.issue_webhook("coupon_claimed")
    sandbox.faults("shaped", shapes=[shape])
    answer = api("webhook/verification", webhook=webhook["id"]).json()
    assert answer == {"status": {"status": "OK"}, **told}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_refused_call_is_refused_in_each_shape(sandbox: Sandbox, api: Api, shape: str) -> None:
    sandbox.faults("shaped", shapes=[shape])
    answer = api("sms/userlist", smsgroup="gro_1")
    # Some shapes put text that is no JSON before the document.
    told = json.loads(answer.content[answer.content.index(b"{") :])
    assert (answer.status_code, told["status"]["errors"]["error_code"]) == (422, [514])


def test_there_is_no_such_shape(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxControlError, match="there is no shape 'round'; there are masked, national"):
        sandbox.faults("shaped", shapes=["round"])
    with pytest.raises(SandboxControlError):
        sandbox.faults("shaped", shapes=[])
