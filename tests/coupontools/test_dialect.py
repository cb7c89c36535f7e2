"""The vendor's spellings, one by one and at random."""

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coupontools import dialect
from coupontools.models import Channel, NewContact

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("value", [119251, "119251", "gro_119251", " gro_119251 "])
def test_every_spelling_of_a_group_id(value: Any) -> None:
    assert dialect.identifier("gro_", value) == "gro_119251"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        0,
        "0",
        "00",
        "gro_",
        True,
        1.5,
        -1,
        "gro_a b",
        "x" * 65,
        "5a",
        "grp_5",
        "con_5",
        "GRO_5",
        [],
        {},
    ],
)
def test_what_is_no_group_id(value: Any) -> None:
    assert dialect.identifier("gro_", value) is None


@pytest.mark.parametrize(
    ("value", "phone"),
    [
        ("123456789012", "+123456789012"),
        (123456789012, "+123456789012"),
        # A number that is not E.164 is returned as it came: a plus would make it another number.
        ("0470123456", "0470123456"),
        ("0032470123456", "0032470123456"),
        ("32*****567", "32*****567"),
        ("+32 470 12 34 56", "+32 470 12 34 56"),
        ("+123456789012", "+123456789012"),
        ("", None),
        ("+", None),
        (None, None),
        (False, None),
    ],
)
def test_phones_get_their_plus(value: Any, phone: str | None) -> None:
    assert dialect.phone(value) == phone


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("13/07/2018 19:47 UTC", "2018-07-13T19:47:00Z"),
        ("01/01/0999 00:00 UTC", "0999-01-01T00:00:00Z"),
        ("31/02/2018 19:47 UTC", None),
        ("07/13/2018 19:47 UTC", None),
        ("13/07/2018 19:47 CET", None),
        ("13/07/2018 24:47 UTC", None),
        ("13/07/0000 19:47 UTC", None),
        ("", None),
        ("0", None),
        (None, None),
        (20180713, None),
    ],
)
def test_dates(value: Any, moment: str | None) -> None:
    assert dialect.moment(value) == moment


@pytest.mark.parametrize(("value", "is_set"), [("1", True), (1, True), (True, True), ("true", True),
                                               ("0", False), (0, False), (False, False), ("", False),
                                               (None, False), ("2", True), ("yes", True), ("No", False), ([], False),
                                               (1.0, True), (Decimal("1.0"), True), (0.0, False)])  # fmt: skip
def test_flags(value: Any, is_set: bool) -> None:
    assert dialect.flag(value) is is_set


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (2, 2),
        ("2", 2),
        ("0", 0),
        ("1,234", 1234),
        ("1,2345", None),
        ("1.234", None),
        (",123", None),
        ("", None),
        (None, None),
        ("-1", None),
        (True, None),
        ("9" * 99, None),
    ],
)
def test_amounts(value: Any, count: int | None) -> None:
    assert dialect.count(value) == count


@pytest.mark.parametrize("name", ["email", "e-mail"])
def test_address_of_a_listed_contact(name: str) -> None:
    assert dialect.contact({"ID": "con_1", name: "john@doe.com"}).email == "john@doe.com"


def test_phone_is_sent_with_a_plus() -> None:
    sent = dialect.new_contact(Channel.SMS, NewContact("gro_1", phone="123456789"))
    assert sent == {"smsgroup": "gro_1", "phone": "+123456789"}


@pytest.mark.parametrize(
    ("channel", "name", "count"), [(Channel.SMS, "customfield", 7), (Channel.EMAIL, "custom", 10)]
)
def test_custom_fields(channel: Channel, name: str, count: int) -> None:
    fields = {str(number): f"value {number}" for number in range(1, count + 1)}
    contact = NewContact("gro_1", phone="+123456789", email="john@doe.com", custom_fields=fields)
    sent = dialect.new_contact(channel, contact)
    assert {key: value for key, value in sent.items() if key.startswith("custom")} == {
        f"{name}{number}": f"value {number}" for number in range(1, count + 1)
    }


# How fast examples are made says something about the machine, not about the code.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(dialect.CONTACTS.fields | {"group_id", "contact_id"})), JSON))
def test_any_answer_is_read_or_called_unreadable(fields: dict[str, Any]) -> None:
    for reader in (
        dialect.contact,
        dialect.group,
        lambda answer: dialect.created_group(answer, "name"),
    ):
        try:
            read = reader(fields)
        except dialect.UnreadableError:
            continue
        for name in read.__slots__:
            if name.endswith("_id"):
                assert getattr(read, name).startswith(("gro_", "con_"))
            elif name == "unsubscribed":
                assert isinstance(read.unsubscribed, bool)
            else:
                assert isinstance(getattr(read, name), str | None)
    with suppress(dialect.UnreadableError):
        assert dialect.added_contact(fields, NewContact("gro_1")).startswith("con_")
    with suppress(dialect.UnreadableError):
        assert dialect.webhook_record(fields, "evt_1") == fields
