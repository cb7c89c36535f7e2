from typing import Any

import pytest

from coupontools.webhooks import Facts, facts, identify, recorded_facts

EXPECTED = {
    "coupon": Facts("coupon_claimed", "cam_12345", "2e8g45wmyawppwubnk5r7"),
    "coupon_edit": Facts("coupon_created", "cam_1026090", None),
    "subaccount": Facts("subaccount_created", None, None),
    "loyalty": Facts("loyalty_complete", None, "97raebv4nkcpjj1i444zh"),
    "loyalty_v3": Facts("loyalty_v3_created", None, None),
    "landing_page": Facts("lp_submission", "cam_1234567", "2e8g45wmyawppwubnk5r7"),
    "directory_page": Facts("directory_registration", None, None),
}


def test_the_facts_of_an_example(example: tuple[str, dict[str, Any]]) -> None:
    family, body = example

    assert facts(body) == EXPECTED[family]


def test_only_the_directory_pages_id_cannot_be_verified(example: tuple[str, dict[str, Any]]) -> None:
    family, body = example

    assert identify(body) == (None if family == "directory_page" else body["id"])


@pytest.mark.parametrize(
    "received",
    ["922", "", "evt_", "evt_a-b", "evt_a b", "EVT_abc", "xevt_abc", "evt_abc\n", "evt_é", "evt_" + "a" * 97],
)
def test_what_is_no_verifiable_id(received: str) -> None:
    assert identify({"id": received}) is None


@pytest.mark.parametrize("received", [922, None, True, ["evt_abc"], {"evt_abc": 1}])
def test_what_is_no_string_is_no_id(received: object) -> None:
    assert identify({"id": received}) is None


def test_a_body_without_an_id_cannot_be_verified() -> None:
    assert identify({}) is None


@pytest.mark.parametrize("received", ["evt_a", "evt_0", "evt_" + "a" * 96])
def test_what_is_a_verifiable_id(received: str) -> None:
    assert identify({"id": received}) == received


def test_unreadable_facts_are_none() -> None:
    body = {"id": 1, "type": ["coupon"], "datetime": "soon", "campaign": {"id": 1}, "session": ""}

    assert facts(body) == Facts(None, None, None)
    assert facts({}) == Facts(None, None, None)


def test_the_first_name_that_says_something_is_taken() -> None:
    assert facts({"campaign": "", "coupon": {"a": 1}, "target_coupon": "cam_1"}).campaign == "cam_1"
    assert facts({"session": None, "coupon_code": "b", "statcode": "c"}).session == "b"
    assert facts({"campaign": 12345}).campaign == "12345"


@pytest.mark.parametrize(
    "names",
    [
        {"datetime": "2020-12-01 01:23:45", "coupon": "cam_12345", "statcode": "0123"},
        {"date": "2020-12-01 01:23:45", "campaign": "cam_12345", "session": "0123", "result": "valid"},
    ],
)
def test_the_facts_on_record(names: dict[str, object]) -> None:
    record = {"status": {"status": "OK"}, "webhook": "evt_0123", "type": "coupon_claimed", **names}

    assert recorded_facts(record) == Facts("coupon_claimed", "cam_12345", "0123")
