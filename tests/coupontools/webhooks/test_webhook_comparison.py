import copy
from typing import Any

import pytest

from coupontools.webhooks import Mismatch, compare, denies, names

# Which fields of each example have a counterpart in the answer, in the order in which they are reported.
COMPARED = {
    "coupon": ("id", "type", "datetime", "campaign", "session", "coupon_code"),
    "coupon_edit": ("id", "type", "datetime", "coupon"),
    "subaccount": ("id", "type", "datetime"),
    "loyalty": ("id", "type", "datetime", "statcode"),
    "loyalty_v3": ("id", "type", "datetime"),
    "landing_page": ("id", "type", "datetime", "target_coupon", "target_statcode"),
    "directory_page": ("id", "type", "datetime"),
}
CAMPAIGNS = {"coupon": "cam_12345", "coupon_edit": "cam_1026090", "landing_page": "cam_1234567"}
SESSIONS = {
    "coupon": "2e8g45wmyawppwubnk5r7",
    "loyalty": "97raebv4nkcpjj1i444zh",
    "landing_page": "2e8g45wmyawppwubnk5r7",
}


def answer(family: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return what the API answers about a genuine example (vendor's document, 'Verification')."""
    return {
        "status": {"status": "OK"},
        "webhook": body["id"],
        "datetime": body["datetime"],
        "type": body["type"],
        "coupon": CAMPAIGNS.get(family, ""),
        "statcode": SESSIONS.get(family, ""),
    }


def older_answer(family: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the same answer in the form of the endpoint's version 3."""
    return {
        "status": {"status": "OK"},
        "result": "valid",
        "webhook": body["id"],
        "date": body["datetime"],
        "campaign": CAMPAIGNS.get(family, ""),
        "session": SESSIONS.get(family, ""),
        "type": body["type"],
    }


@pytest.mark.parametrize("answered", [answer, older_answer])
def test_an_agreeing_answer(example: tuple[str, dict[str, Any]], answered: Any) -> None:
    family, body = example
    received = copy.deepcopy(body)

    comparison = compare(body, answered(family, body))

    assert comparison.checked == COMPARED[family]
    assert comparison.mismatches == ()
    assert not comparison.mismatches
    assert body == received


@pytest.mark.parametrize("answered", [answer, older_answer])
@pytest.mark.parametrize("forged", ["forged", "", None, 5, True, ["cam_12345"], {"id": "cam_12345"}])
def test_each_changed_field_is_named(
    example: tuple[str, dict[str, Any]], answered: Any, forged: object
) -> None:
    family, body = example
    record = answered(family, body)

    for name in COMPARED[family]:
        if name == "coupon" and isinstance(forged, dict):
            continue  # an object under `coupon` is the coupon family's description of its campaign
        comparison = compare({**body, name: forged}, record)

        assert comparison.mismatches == (Mismatch(name, forged, body[name]),)
        assert comparison.checked == COMPARED[family]
        assert comparison.mismatches


@pytest.mark.parametrize("answered", [answer, older_answer])
def test_each_field_that_differs_on_record_is_named(
    example: tuple[str, dict[str, Any]], answered: Any
) -> None:
    family, body = example
    record = answered(family, body)

    for name in [name for name in record if name not in ("status", "result") and record[name]]:
        comparison = compare(body, {**record, name: "other"})

        assert {mismatch.expected for mismatch in comparison.mismatches} == {"other"}


def test_both_names_of_a_session_are_reported(bodies: dict[str, Any]) -> None:
    record = answer("coupon", bodies["coupon"]) | {"statcode": "other"}

    mismatches = compare(bodies["coupon"], record).mismatches

    assert [mismatch.field for mismatch in mismatches] == ["session", "coupon_code"]


def test_several_differences_are_all_reported(bodies: dict[str, Any]) -> None:
    record = answer("coupon", bodies["coupon"]) | {"type": "coupon_validated", "coupon": "cam_1"}

    assert compare(bodies["coupon"], record).mismatches == (
        Mismatch("type", "coupon_claimed", "coupon_validated"),
        Mismatch("campaign", "cam_12345", "cam_1"),
    )


def test_what_the_body_lacks_is_not_compared(bodies: dict[str, Any]) -> None:
    record = answer("coupon", bodies["coupon"])
    for name in set(COMPARED["coupon"]) - {"type", "datetime"}:
        body = {key: value for key, value in bodies["coupon"].items() if key != name}

        comparison = compare(body, record)

        assert comparison.checked == tuple(field for field in COMPARED["coupon"] if field != name)
        assert not comparison.mismatches


@pytest.mark.parametrize("nothing", ["", None, False, [], {}, "0000-00-00 00:00:00", 1.2345678901234568e19])
def test_what_the_answer_leaves_empty_is_not_compared(bodies: dict[str, Any], nothing: object) -> None:
    record = dict.fromkeys(answer("coupon", bodies["coupon"]), nothing)

    assert compare(bodies["coupon"], record).checked == ()
    assert compare(bodies["coupon"], {}).checked == ()


def test_an_empty_name_of_today_gives_way_to_the_older_one(bodies: dict[str, Any]) -> None:
    record = answer("coupon", bodies["coupon"]) | {"datetime": "", "date": "2022-01-14 10:40:39"}

    (mismatch,) = compare(bodies["coupon"], record).mismatches

    assert mismatch == Mismatch("datetime", "2022-01-14 10:40:38", "2022-01-14 10:40:39")


@pytest.mark.parametrize("answered", [answer, older_answer])
def test_a_body_differs_in_the_type_and_the_moment_that_it_lacks(
    bodies: dict[str, Any], answered: Any
) -> None:
    """A forger who knows an id must not be believed because all other fields are missing."""
    body = bodies["coupon"]

    comparison = compare({"id": body["id"]}, answered("coupon", body))

    assert comparison.mismatches == (
        Mismatch("type", None, body["type"]),
        Mismatch("datetime", None, body["datetime"]),
    )
    assert not compare({"id": body["id"]}, {"webhook": body["id"], "type": "", "date": None}).mismatches


@pytest.mark.parametrize(
    ("record", "named"),
    [
        ({"webhook": "evt_A"}, True),
        ({"webhook": "evt_B"}, False),
        ({"webhook": ""}, False),
        ({"webhook": None}, False),
        ({"webhook": ["evt_A"]}, False),
        ({"type": "coupon_claimed"}, False),
        ({"error": "Webhook not found"}, False),
    ],
)
def test_an_answer_names_the_webhook_or_it_does_not(record: dict[str, Any], named: bool) -> None:
    assert names(record, "evt_A") is named


@pytest.mark.parametrize(
    ("received", "expected", "same"),
    [
        ("2022-01-14 10:40:38", "2022-01-14T10:40:38Z", True),
        ("2022-01-14 10:40:38", "2022-01-14 11:40:38+01:00", True),
        ("2022-01-14 10:40:38", "2022-01-14 10:40:38.001", False),
        ("2022-01-14 10:40:38", "2022-01-14 10:40:39", False),
        ("2022-01-14 10:40:38", "2022-01-14", False),
        ("0000-00-00 00:00:00", "0000-00-00 00:00:00", True),
        ("soon", "soon", True),
        ("soon", "Soon", False),
        (1642156838, "1642156838", True),
    ],
)
def test_moments_are_compared_by_the_instant(received: object, expected: object, same: bool) -> None:
    assert (not compare({"datetime": received}, {"datetime": expected}).mismatches) is same


@pytest.mark.parametrize(
    ("received", "expected", "same"),
    [
        ("12345", 12345, True),
        (12345, "12345", True),
        (12345, 12346, False),
        ("cam_1", "CAM_1", False),
        ("cam_1", "cam_1 ", False),
        ("1", True, False),
        (None, "None", False),
        ({}, "{}", False),
        (["cam_1"], ["cam_1"], False),
        (10**5000, "1", False),
    ],
    ids=range(10),
)
def test_strings_and_numbers_are_compared_by_their_text(
    received: object, expected: object, same: bool
) -> None:
    comparison = compare({"campaign": received}, {"coupon": expected})

    assert comparison.checked == ("campaign",)
    assert (not comparison.mismatches) is same


@pytest.mark.parametrize("coupon", [{"coupon_code": "u3s3dg"}, {}, []])
def test_the_description_of_a_campaign_is_no_id(bodies: dict[str, Any], coupon: object) -> None:
    comparison = compare(bodies["coupon"] | {"coupon": coupon}, answer("coupon", bodies["coupon"]))

    assert "coupon" not in comparison.checked
    assert not comparison.mismatches


@pytest.mark.parametrize(
    ("record", "denied"),
    [
        ({}, False),
        ({"result": None}, False),
        ({"result": ""}, False),
        ({"result": "valid"}, False),
        ({"result": "Valid"}, False),
        ({"result": "invalid"}, True),
        ({"result": False}, True),
        ({"result": 0}, True),
        ({"result": ["valid"]}, True),
        ({"result": {}}, True),
    ],
)
def test_the_older_answers_own_verdict(record: dict[str, object], denied: bool) -> None:
    assert denies(record) is denied
