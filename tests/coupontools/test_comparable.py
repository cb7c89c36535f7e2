"""One form for each number, address and name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupontools import comparable_address, comparable_name, comparable_number, unescaped


@pytest.mark.parametrize(
    ("told", "number"),
    [
        ("32470123456", "32470123456"),
        ("+32470123456", "32470123456"),
        ("0032470123456", "32470123456"),
        ("+00 32 (470) 12.34-56", "32470123456"),
        ("0470123456", None),
        ("32*****456", None),
        ("32470...456", None),
        ("32470---456", None),
        ("123456", None),
        ("1" * 16, None),
        ("٣٢٤٧٠١٢٣٤٥٦", None),
        ("", None),
    ],
)
def test_numbers(told: str, number: str | None) -> None:
    assert comparable_number(told) == number


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("ada@faß.de", "ada@xn--fa-hia.de"),
        ("ada@XN--FA-HIA.de", "ada@xn--fa-hia.de"),
        ("strauß@example.com", "strauß@example.com"),
        ("o&amp;#039;brien@example.com", "o'brien@example.com"),
        ("zoe\u0308@example.com", "zoë@example.com"),
        ("ada@ä_b.de", None),
        ("ada", None),
        ("@example.com", None),
        ("ada@", None),
    ],
)
def test_addresses(told: str, address: str | None) -> None:
    assert comparable_address(told) == address


def test_names() -> None:
    assert {comparable_name(told) for told in ("R&D  team", " R&amp;D team", "R&amp;amp;D\u00a0team")} == {
        "R&D team"
    }
    assert {comparable_name(told) for told in ("Zoë's", "Zoë\\'s", "Zoë&#039;s", "Zoe\u0308\\\\'s")} == {
        "Zoë's"
    }
    assert comparable_name("Pizza") != comparable_name("PIZZA")


@given(st.text())
def test_a_form_is_its_own_form(told: str) -> None:
    assert comparable_name(comparable_name(told)) == comparable_name(told)
    assert unescaped(unescaped(told)) == unescaped(told)
    if (number := comparable_number(told)) is not None:
        assert comparable_number(number) == number
    if (address := comparable_address(told)) is not None:
        assert comparable_address(address) == address
