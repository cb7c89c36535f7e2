"""Every rule for a job's arguments: what is accepted, and in which form; what is refused, and which field the error names."""

from __future__ import annotations

from typing import Any

import pytest

from actors import JOBS, InvalidJob

SMS = {"channel": "sms", "group_id": "gro_1", "phone": "+32470123456"}
EMAIL = {"channel": "email", "group_id": "gro_1", "email": "zoe@example.com"}
GROUP = {"channel": "sms", "name": "Pizza"}
LONG = "x" * 255


def without(arguments: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in names}


def deep(levels: int) -> dict[str, Any]:
    body: dict[str, Any] = {"id": "evt_1"}
    for _ in range(levels):
        body = {"id": "evt_1", "in": body}
    return body


TAKEN: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("add_contact", SMS, {"phone": "+32470123456", "email": None}),
    ("add_contact", {**SMS, "phone": "+32 470 12 34 56"}, {"phone": "+32470123456"}),
    ("add_contact", {**SMS, "phone": "+32-470-12.34.56"}, {"phone": "+32470123456"}),
    ("add_contact", {**SMS, "phone": "(+32) 470 123456"}, {"phone": "+32470123456"}),
    ("add_contact", {**SMS, "phone": "+1234567"}, {"phone": "+1234567"}),
    ("add_contact", {**SMS, "phone": "+123456789012345"}, {"phone": "+123456789012345"}),
    # The vendor's own example, which is nobody's number.
    ("add_contact", {**SMS, "phone": "+123456789"}, {"phone": "+123456789"}),
    ("add_contact", EMAIL, {"email": "zoe@example.com", "phone": None}),
    ("add_contact", {**EMAIL, "email": "test@test.test"}, {"email": "test@test.test"}),
    ("add_contact", {**EMAIL, "email": "a@b.invalid"}, {"email": "a@b.invalid"}),
    ("add_contact", {**EMAIL, "email": "a.b+c@sub.example.org"}, {"email": "a.b+c@sub.example.org"}),
    (
        "add_contact",
        {**SMS, "first_name": "Łucja", "last_name": LONG},
        {"first_name": "Łucja", "last_name": LONG},
    ),
    (
        "add_contact",
        {**SMS, "first_name": " ", "last_name": " Lovelace "},
        {"first_name": None, "last_name": "Lovelace"},
    ),
    ("add_contact", {**SMS, "custom_fields": {"1": "", "7": "y" * 1000}}, {}),
    ("add_contact", {**EMAIL, "custom_fields": {"10": "gold"}}, {"custom_fields": {"10": "gold"}}),
    ("add_contact", {**SMS, "group_id": "gro_" + "a1" * 32}, {"group_id": "gro_" + "a1" * 32}),
    (
        "add_contact",
        {**SMS, "idempotency_key": LONG, "correlation_id": "é " * 127},
        {"idempotency_key": LONG},
    ),
    ("add_contact", {**SMS, "deadline_seconds": 1}, {"deadline_seconds": 1}),
    (
        "add_contact",
        {**SMS, "deadline_seconds": 300.0, "batch_id": "b", "batch_size": 3.0},
        {"deadline_seconds": 300, "batch_size": 3},
    ),
    ("create_group", {**GROUP, "name": "  Pizza "}, {"name": "Pizza"}),
    ("create_group", {**GROUP, "name": f" {LONG} "}, {"name": LONG}),
    ("verify_webhook", {"payload": {"id": "922"}}, {"payload": {"id": "922"}}),
    ("verify_webhook", {"payload": deep(50)}, {}),
    ("verify_webhook", {"webhook_id": "evt_01234567890123456789"}, {"payload": None}),
    ("verify_webhook", {"payload": {"id": "evt_1"}, "webhook_id": "evt_1"}, {}),
    ("list_groups", {"channel": "email"}, {"channel": "email"}),
    ("list_contacts", {"channel": "sms", "group_id": "gro_119251"}, {"group_id": "gro_119251"}),
]


@pytest.mark.parametrize(("actor", "arguments", "becomes"), TAKEN)
def test_what_is_taken(actor: str, arguments: dict[str, Any], becomes: dict[str, Any]) -> None:
    job = JOBS[actor].parse(arguments)
    assert {name: getattr(job, name) for name in becomes} == becomes


REFUSED: list[tuple[str, dict[str, Any], list[str]]] = [
    *[("add_contact", {**SMS, "channel": wrong}, ["channel"]) for wrong in ("SMS", "fax", "", None, 1)],
    *[("add_contact", without(SMS, name), [name]) for name in ("channel", "group_id", "phone")],
    ("add_contact", without(EMAIL, "email"), ["email"]),
    ("add_contact", {**EMAIL, "phone": "+32470123456"}, ["phone"]),
    ("add_contact", {**SMS, "email": "zoe@example.com"}, ["email"]),
    *[
        ("add_contact", {**SMS, "group_id": wrong}, ["group_id"])
        for wrong in ("119251", "gro_", "gro_é", "gro_1 ", "gro_" + "1" * 65, "GRO_1", "gro_1\n", 119251)
    ],
    *[
        ("add_contact", {**SMS, "phone": wrong}, ["phone"])
        for wrong in (
            "32470123456",
            "+0470123456",
            "+123456",
            "+1234567890123456",
            "+32470abc",
            "",
            "+32/470",
            32470123456,
        )
    ],
    *[
        ("add_contact", {**SMS, "phone": f"+32 {zero} 470 99 99 99"}, ["phone"])
        for zero in ("(0)", "( 0 )", "(-0)")
    ],
    ("add_contact", {**SMS, "first_name": "\udcff"}, ["first_name"]),
    # \d matches digits of other scripts, too, but no telephone can dial them.
    ("add_contact", {**SMS, "phone": "+٣٢٤٧٠١٢٣٤٥٦"}, ["phone"]),
    *[
        ("add_contact", {**EMAIL, "email": wrong}, ["email"])
        for wrong in (
            "zoe",
            "zoe@",
            "@example.com",
            "zoe@localhost",
            "a@b.c, d@e.f",
            "zoe @example.com",
            "",
            "a@b..c",
            7,
        )
    ],
    *[
        ("add_contact", {**SMS, name: wrong}, [name])
        for name in ("first_name", "last_name")
        for wrong in ("x" * 256, 7, ["a"])
    ],
    *[
        ("add_contact", {**SMS, "custom_fields": {wrong: "a"}}, [f"custom_fields.{wrong}"])
        for wrong in ("0", "8", "01", "x")
    ],
    ("add_contact", {**EMAIL, "custom_fields": {"11": "a"}}, ["custom_fields.11"]),
    ("add_contact", {**SMS, "custom_fields": {"1": 5}}, ["custom_fields.1"]),
    ("add_contact", {**SMS, "custom_fields": {"1": "y" * 1001}}, ["custom_fields.1"]),
    ("add_contact", {**SMS, "custom_fields": ["a"]}, ["custom_fields"]),
    ("add_contact", {**SMS, "Phone": "+32470123456"}, ["Phone"]),
    ("add_contact", {**SMS, "name": "Pizza"}, ["name"]),
    ("add_contact", {"phone": "0", "colour": 1}, ["channel", "group_id", "phone", "colour"]),
    # Faults of single arguments and faults between arguments are reported together.
    ("add_contact", {"channel": "sms", "group_id": "bad"}, ["group_id", "phone"]),
    ("add_contact", {**without(SMS, "phone"), "email": "zoe@example.com"}, ["phone", "email"]),
    (
        "add_contact",
        {**SMS, "custom_fields": {"8": "a", "9": "b"}},
        ["custom_fields.8", "custom_fields.9"],
    ),
    *[("create_group", {**GROUP, "name": wrong}, ["name"]) for wrong in ("", "   ", "x" * 256, 7, None)],
    ("create_group", without(GROUP, "name"), ["name"]),
    ("create_group", without(GROUP, "channel"), ["channel"]),
    ("create_group", {**GROUP, "group_id": "gro_1"}, ["group_id"]),
    ("verify_webhook", {}, ["payload"]),
    *[
        ("verify_webhook", {"payload": wrong}, ["payload"])
        for wrong in ("text", ["evt_1"], 7, {}, {"id": 1}, {"id": ""})
    ],
    ("verify_webhook", {"payload": deep(70)}, ["payload"]),
    ("verify_webhook", {"payload": {"id": "evt_1", "fill": "x" * 1_100_000}}, ["payload"]),
    *[("verify_webhook", {"webhook_id": wrong}, ["webhook_id"]) for wrong in ("922", "evt_", "evt_é", 922)],
    ("verify_webhook", {"payload": {"id": "evt_1"}, "webhook_id": "evt_2"}, ["webhook_id"]),
    ("verify_webhook", {"webhook_id": "evt_1", "channel": "sms"}, ["channel"]),
    ("list_groups", {}, ["channel"]),
    ("list_groups", {"channel": "sms", "group_id": "gro_1"}, ["group_id"]),
    ("list_contacts", {"channel": "sms"}, ["group_id"]),
    *[
        ("list_groups", {"channel": "sms", name: wrong}, [name])
        for name in ("idempotency_key", "correlation_id")
        for wrong in ("", "x" * 256, "a\nb", 7)
    ],
    *[
        ("list_groups", {"channel": "sms", "deadline_seconds": wrong}, ["deadline_seconds"])
        for wrong in (0, -1, 1.5, "60", True)
    ],
]


@pytest.mark.parametrize(("actor", "arguments", "fields"), REFUSED)
def test_what_is_refused_names_its_field(actor: str, arguments: dict[str, Any], fields: list[str]) -> None:
    with pytest.raises(InvalidJob) as refused:
        JOBS[actor].parse(arguments)
    assert [problem.field for problem in refused.value.problems] == fields
    assert all(problem.message for problem in refused.value.problems)


def test_the_text_for_the_log_names_no_custom_field_that_is_none() -> None:
    with pytest.raises(InvalidJob) as refused:
        JOBS["add_contact"].parse({**SMS, "custom_fields": {"John Doe": "x", "12": "y"}})
    assert "John" not in str(refused.value)
    assert "custom_fields.12: must be" in str(refused.value)
    assert "custom_fields.John Doe" in [problem.field for problem in refused.value.problems]


def key(actor: str, **arguments: Any) -> str | None:
    return JOBS[actor].parse(arguments).key


def test_the_derived_key_of_a_contact_is_the_contact_whatever_its_names() -> None:
    plain = key("add_contact", **SMS)
    assert plain
    assert plain.startswith("derived:")
    assert plain == key("add_contact", **SMS, first_name="Zoë", custom_fields={"1": "x"})
    assert plain not in {key("add_contact", **{**SMS, "group_id": "gro_2"}), key("add_contact", **EMAIL)}
    address = key("add_contact", **{**EMAIL, "email": "Ada@Example.com"})
    assert address == key("add_contact", **{**EMAIL, "email": "ada@example.COM"})
    assert address != key("add_contact", **{**EMAIL, "email": "ad@example.com"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"first_name": "Ada "}, {"first_name": "Ada"}),
        ({"first_name": "Ada", "last_name": ""}, {"first_name": "Ada"}),
        ({"last_name": "  "}, {"last_name": None}),
        ({"custom_fields": {}}, {}),
        ({"first_name": "Zoe\u0308"}, {"first_name": "Zo\u00eb"}),
        ({"custom_fields": {"1": "Zoe\u0308"}}, {"custom_fields": {"1": "Zo\u00eb"}}),
        (
            {"channel": "email", "phone": None, "email": "Ada@Example.com"},
            {"channel": "email", "phone": None, "email": "ada@example.com"},
        ),
    ],
)
def test_what_is_empty_or_blank_or_of_another_case_asks_for_nothing_more(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Otherwise the same contact would be a conflict, or would be added twice."""
    fingerprints = {JOBS["add_contact"].parse({**SMS, **given}).fingerprint() for given in (one, other)}
    assert len(fingerprints) == 1


def test_a_group_s_name_is_one_however_its_accents_are_written_and_a_webhook_s_body_is_not() -> None:
    one, other = "Zo\u00eb", "Zoe\u0308"
    assert key("create_group", channel="sms", name=one) == key("create_group", channel="sms", name=other)
    bodies = [{"id": "evt_1", "name": name} for name in (one, other)]
    assert len({key("verify_webhook", payload=body) for body in bodies}) == 2


def test_a_listing_without_a_key_of_its_own_has_none() -> None:
    assert key("list_groups", channel="sms") is None
    assert key("list_contacts", channel="sms", group_id="gro_1") is None
    assert key("list_groups", channel="sms", idempotency_key="mine") == "mine"


def test_a_derived_key_follows_the_meaning_and_nothing_else() -> None:
    plain = key("add_contact", **SMS)
    assert plain == key("add_contact", **dict(reversed(SMS.items())))
    assert plain == key("add_contact", **{**SMS, "phone": "+32 470-12 34 56"})
    assert plain == key("add_contact", **SMS, correlation_id="c", deadline_seconds=5)
    assert plain == key("add_contact", **SMS, first_name=None)
    assert plain == key("add_contact", **SMS, custom_fields={})
    different = [
        key("add_contact", **{**SMS, "group_id": "gro_2"}),
        key("create_group", **GROUP),
        key("create_group", **{**GROUP, "channel": "email"}),
        key("verify_webhook", payload={"id": "evt_1"}),
        key("verify_webhook", payload={"id": "evt_1", "type": "x"}),
    ]
    assert len({plain, *different}) == 1 + len(different)
    assert key("add_contact", **SMS, idempotency_key="mine") == "mine"
