import copy
import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from coupontools.webhooks import (
    CouponEditWebhook,
    CouponWebhook,
    DirectoryWebhook,
    LandingPageWebhook,
    SubaccountWebhook,
    WalletLoyaltyWebhook,
    Webhook,
    WebLoyaltyWebhook,
    parse,
)
from coupontools.webhooks.view import Field, View

FAMILIES = {
    "coupon": CouponWebhook,
    "coupon_edit": CouponEditWebhook,
    "subaccount": SubaccountWebhook,
    "web_loyalty": WebLoyaltyWebhook,
    "wallet_loyalty": WalletLoyaltyWebhook,
    "landing_page": LandingPageWebhook,
    "directory_page": DirectoryWebhook,
}
NOON = datetime(2022, 1, 14, 10, 40, 38, tzinfo=UTC)


def single_fields(view: View) -> dict[str, str]:
    """The names of a view's fields, and the keys that they read."""
    members = {name: value for kind in type(view).__mro__ for name, value in vars(kind).items()}
    return {name: field.key or "" for name, field in members.items() if isinstance(field, Field)}


def views(view: View) -> list[View]:
    """A view and all views inside it."""
    inner = [getattr(view, name) for name in single_fields(view)]
    return [view, *(found for value in inner if isinstance(value, View) for found in views(value))]


def test_there_is_an_example_of_every_family(bodies: dict[str, Any]) -> None:
    assert set(bodies) == set(FAMILIES)


def test_an_example_is_of_its_family_and_loses_nothing(example: tuple[str, dict[str, Any]]) -> None:
    family, body = example
    received = json.dumps(body)

    webhook = parse(body)

    assert type(webhook) is FAMILIES[family]
    assert webhook.raw is body
    assert json.dumps(webhook.raw) == received
    assert webhook.id == body["id"]
    assert webhook.type == body["type"]
    assert webhook.datetime is not None


def test_every_field_of_an_example_is_declared_and_readable(example: tuple[str, dict[str, Any]]) -> None:
    for view in views(parse(example[1])):
        assert view.extra == {}
        for name, key in single_fields(view).items():
            assert view.raw[key] == "" or getattr(view, name) is not None, name


def test_coupon(bodies: dict[str, Any]) -> None:
    webhook = parse(bodies["coupon"])

    assert isinstance(webhook, CouponWebhook)
    assert (webhook.datetime, webhook.livemode) == (NOON, False)
    assert webhook.campaign == "cam_12345"
    assert webhook.session == webhook.coupon_code == "2e8g45wmyawppwubnk5r7"
    assert webhook.coupon is not None
    assert (webhook.coupon.coupon_code, webhook.coupon.customid) == ("u3s3dg", "")
    assert webhook.status is not None
    assert (webhook.status.claimed, webhook.status.claimed_date) == (True, NOON)
    assert (webhook.status.validated, webhook.status.validated_date) == (False, None)
    assert webhook.status.raw["claimed"] == "1"
    assert webhook.status.raw["validated_date"] == ""
    assert webhook.customer is not None
    assert webhook.customer.birthday == date(1980, 1, 1)
    assert webhook.customer.raw["birthday"] == "1980-01-01"
    assert webhook.customer.custom_fields == {number: f"Custom field {number}" for number in range(1, 8)}
    assert webhook.customer.questions == {1: "Answer 1"}


def test_wallet_loyalty(bodies: dict[str, Any]) -> None:
    webhook = parse(bodies["wallet_loyalty"])

    assert isinstance(webhook, WalletLoyaltyWebhook)
    assert webhook.loyalty_id == 1
    assert webhook.user is not None
    assert webhook.user.id == 1
    assert webhook.user.custom == {number: f"custom value {number}" for number in range(1, 9)}


def test_landing_page(bodies: dict[str, Any]) -> None:
    webhook = parse(bodies["landing_page"])

    assert isinstance(webhook, LandingPageWebhook)
    assert webhook.data == {"E-mail": "info@email.com", "phone": "11234567890"}
    assert webhook.utm_tags is not None
    assert webhook.utm_tags.utm_source == "examplesource"
    assert webhook.utm_tags.custom[8] == "customexamplevalue8"


def test_directory_page(bodies: dict[str, Any]) -> None:
    webhook = parse(bodies["directory_page"])

    assert isinstance(webhook, DirectoryWebhook)
    assert webhook.data is not None
    assert webhook.data.user_id == "5025"
    assert webhook.data.birthday == date(1953, 2, 2)
    assert webhook.data.created_at == datetime(2023, 2, 16, 8, 11, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "family"),
    [
        ({"type": "coupon_validated", "session": "s"}, CouponWebhook),
        ({"type": "coupon_validated", "campaign": "cam_1"}, CouponWebhook),
        ({"type": "coupon_opened", "coupon": {"coupon_code": "u3s3dg"}}, CouponWebhook),
        ({"type": "coupon_edited", "coupon": "cam_1", "subaccount": "sub_1"}, CouponEditWebhook),
        ({"type": "coupon_vanished"}, Webhook),
        ({"type": "subaccount_deleted"}, SubaccountWebhook),
        ({"type": "loyalty_redeemed", "loyaltycard": "loy_1"}, WebLoyaltyWebhook),
        ({"type": "loyalty_v3_deleted"}, WalletLoyaltyWebhook),
        ({"type": "loyalty_v4_created", "loyalty_id": 1}, WalletLoyaltyWebhook),
        ({"type": "lp_opened"}, LandingPageWebhook),
        ({"type": "directory_login"}, DirectoryWebhook),
        ({"type": "hologram_projected", "hologram": {"id": 1}}, Webhook),
        ({"type": 7}, Webhook),
        ({"type": None}, Webhook),
        ({}, Webhook),
    ],
)
def test_the_family_is_told_by_type_and_shape(body: dict[str, Any], family: type[Webhook]) -> None:
    assert type(parse(body)) is family


def test_new_fields_pass_through(bodies: dict[str, Any]) -> None:
    body = bodies["coupon"] | {"mood": {"happy": "1"}}
    body["status"]["framed"] = "1"
    body["customer"]["custom_field_8"] = "Custom field 8"

    webhook = parse(body)

    assert isinstance(webhook, CouponWebhook)
    assert webhook.extra == {"mood": {"happy": "1"}}
    assert webhook.status is not None
    assert webhook.status.extra == {"framed": "1"}
    assert webhook.customer is not None
    assert webhook.customer.custom_fields[8] == "Custom field 8"


def test_numbered_fields_are_those_with_a_plain_number(bodies: dict[str, Any]) -> None:
    odd = [
        "question_",
        "question_01",
        "question_0",
        "question_1000",
        "question_one",
        "question_²",
        "question_-1",
    ]
    body = bodies["coupon"]
    body["customer"] |= dict.fromkeys([*odd, "question_999"], "Answer")

    webhook = parse(body)

    assert isinstance(webhook, CouponWebhook)
    assert webhook.customer is not None
    assert webhook.customer.questions == {1: "Answer 1", 999: "Answer"}
    assert sorted(webhook.customer.extra) == sorted(odd)


def test_a_wrong_type_reads_as_none_and_stays_in_raw(bodies: dict[str, Any]) -> None:
    body = bodies["coupon"]
    body["campaign"] = 12345
    body["status"] = "claimed"
    body["customer"]["birthday"] = ["1980-01-01"]
    body["customer"]["custom_field_2"] = None
    received = copy.deepcopy(body)

    webhook = parse(body)

    assert isinstance(webhook, CouponWebhook)
    assert (webhook.campaign, webhook.raw["campaign"]) == (None, 12345)
    assert (webhook.status, webhook.raw["status"]) == (None, "claimed")
    assert webhook.customer is not None
    assert (webhook.customer.birthday, webhook.customer.raw["birthday"]) == (None, ["1980-01-01"])
    assert 2 not in webhook.customer.custom_fields
    assert webhook.raw == received


def test_fields_cannot_be_set(bodies: dict[str, Any]) -> None:
    with pytest.raises(AttributeError):
        parse(bodies["coupon"]).id = "evt_forged"  # type: ignore[misc]


def test_repr_shows_no_personal_data(bodies: dict[str, Any]) -> None:
    webhook = parse(bodies["coupon"])

    assert isinstance(webhook, CouponWebhook)
    assert repr(webhook.customer) == "<Customer of 17 fields>"
