from datetime import UTC, datetime

import pytest

from coupontools.webhooks.values import plain, read_moment, read_text

NOON = datetime(2022, 1, 14, 10, 40, 38, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2022-01-14 10:40:38", NOON),
        ("2022-01-14T10:40:38Z", NOON),
        ("2022-01-14T12:40:38+02:00", NOON),
        ("2022-01-14 10:40:38.5", NOON.replace(microsecond=500_000)),
        ("", None),
        ("2022-01-14", None),
        ("0000-00-00 00:00:00", None),
        ("2022-13-14 10:40:38", None),
        ("0001-01-01 00:00:00+14:00", None),
        ("2022-01-14 10:40:38\n", None),
        ("٢٠٢٢-01-14 10:40:38", None),
        (1642156838, None),
        (None, None),
    ],
)
def test_moments(value: object, expected: datetime | None) -> None:
    assert read_moment(value) == expected


def test_texts() -> None:
    values: list[object] = ["a", "", 1, None, []]

    assert [read_text(value) for value in values] == ["a", "", None, None, None]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        ("", ""),
        (922, "922"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        (2**64 - 1, "18446744073709551615"),
    ],
)
def test_the_plain_form_of_values(value: object, expected: str) -> None:
    assert plain(value) == expected


@pytest.mark.parametrize("value", [None, {}, [], ["a"], 2**64, 10**5000], ids=range(6))
def test_what_has_no_plain_form(value: object) -> None:
    assert plain(value) is None
