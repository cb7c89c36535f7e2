"""Webhooks of all seven families, issued and then verified."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sandbox import Sandbox, SandboxControlError

Api = Callable[..., httpx.Response]


@pytest.mark.parametrize(
    ("webhook_type", "coupon", "statcode"),
    [
        ("coupon_claimed", "cam_12345", "2e8g45wmyawppwubnk5r7"),
        ("coupon_created", "cam_1026090", ""),
        ("subaccount_created", "", ""),
        ("loyalty_complete", "", "97raebv4nkcpjj1i444zh"),
        ("loyalty_v3_created", "", ""),
        ("lp_submission", "cam_1234567", "2e8g45wmyawppwubnk5r7"),
    ],
)
def test_an_issued_webhook_is_known_to_verification(
    sandbox: Sandbox, api: Api, webhook_type: str, coupon: str, statcode: str
) -> None:
    body = sandbox.issue_webhook(webhook_type)
    assert body["type"] == webhook_type
    assert body["id"].startswith("evt_")
    assert len(body["id"]) == 24
    assert api("webhook/verification", webhook=body["id"]).json() == {
        "status": {"status": "OK"},
        "webhook": body["id"],
        "datetime": body["datetime"],
        "type": webhook_type,
        "coupon": coupon,
        "statcode": statcode,
    }


def test_a_directory_pages_webhook_cannot_be_verified(sandbox: Sandbox, api: Api) -> None:
    body = sandbox.issue_webhook("directory_registration")
    assert (body["id"], body["data"]["userId"]) == ("922", "5025")
    assert api("webhook/verification", webhook="922").json()["status"]["errors"]["error_code"] == [509]


def test_fields_replace_the_examples_and_nested_ones_one_by_one(sandbox: Sandbox, api: Api) -> None:
    body = sandbox.issue_webhook(
        "coupon_validated",
        fields={
            "session": "s1",
            "campaign": "cam_9",
            "customer": {"email": "x@example.com"},
            "livemode": "1",
        },
    )
    assert body["customer"]["email"] == "x@example.com"
    assert body["customer"]["city"] == "City"
    assert body["livemode"] == "1"
    answer = api("webhook/verification", webhook=body["id"]).json()
    assert (answer["coupon"], answer["statcode"]) == ("cam_9", "s1")
    assert sandbox.issue_webhook("coupon_claimed")["customer"]["email"] == "info@email.com"


def test_the_older_answer_for_one_webhook_or_for_all(sandbox: Sandbox, api: Api) -> None:
    old = sandbox.issue_webhook("coupon_claimed", answer="old")
    new = sandbox.issue_webhook("coupon_claimed")
    expected = {
        "status": {"status": "OK"},
        "result": "valid",
        "webhook": old["id"],
        "date": "2022-01-14 10:40:38",
        "campaign": "cam_12345",
        "session": "2e8g45wmyawppwubnk5r7",
        "type": "coupon_claimed",
    }
    assert api("webhook/verification", webhook=old["id"]).json() == expected
    assert "datetime" in api("webhook/verification", webhook=new["id"]).json()
    sandbox.settings(old_webhook_answer=True)
    assert api("webhook/verification", webhook=new["id"]).json() == {**expected, "webhook": new["id"]}


def test_a_family_alone_or_with_a_type_of_its_own(sandbox: Sandbox) -> None:
    assert sandbox.issue_webhook(family="loyalty_v3")["type"] == "loyalty_v3_created"
    body = sandbox.issue_webhook("something_new", family="coupon")
    assert (body["type"], body["campaign"]) == ("something_new", "cam_12345")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "give a type, a family or both"),
        ({"type": "something_new"}, "does not tell its family"),
        ({"type": "coupon_claimed", "fields": {"id": "evt_1"}}, "fields cannot set id"),
        ({"family": "pizza"}, "family"),
    ],
)
def test_a_webhook_that_cannot_be_issued(sandbox: Sandbox, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SandboxControlError, match=sentence):
        sandbox.issue_webhook(
            options.get("type"), **{key: value for key, value in options.items() if key != "type"}
        )
    assert sandbox.state()["counts"]["webhooks"] == 0


def test_ids_repeat_after_a_reset(sandbox: Sandbox) -> None:
    first = [sandbox.issue_webhook("coupon_claimed")["id"] for _ in range(3)]
    sandbox.reset()
    assert [sandbox.issue_webhook("coupon_claimed")["id"] for _ in range(3)] == first
    assert len(set(first)) == 3
    sandbox.settings(seed=7)
    sandbox.reset()
    assert sandbox.issue_webhook("coupon_claimed")["id"] not in first
