from datetime import UTC, date, datetime

import pytest

from coupontools.webhooks.values import (
    plain,
    read_day,
    read_flag,
    read_integer,
    read_mapping,
    read_moment,
    read_text,
)

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


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", False), ("1", True), (0, False), (1, True), (True, True), (False, False)],
)
def test_flags(value: object, expected: bool) -> None:
    assert read_flag(value) is expected


@pytest.mark.parametrize("value", ["", "2", "true", " 1", 2, 1.0, None, [], {}])
def test_what_is_no_flag(value: object) -> None:
    assert read_flag(value) is None


@pytest.mark.parametrize(
    ("value", "expected"), [(1, 1), ("1", 1), ("-12", -12), (0, 0), (2**63 - 1, 2**63 - 1)]
)
def test_whole_numbers(value: object, expected: int) -> None:
    assert read_integer(value) == expected


@pytest.mark.parametrize(
    "value", ["", "1.0", "+1", "٣", "9" * 5000, 10**5000, 1.0, True, None, [], {}], ids=range(11)
)
def test_what_is_no_whole_number(value: object) -> None:
    assert read_integer(value) is None


def test_days() -> None:
    assert read_day("1980-01-01") == date(1980, 1, 1)


@pytest.mark.parametrize("value", ["", "1980-02-30", "19800101", "1980-01-01 10:00:00", 19800101, None, {}])
def test_what_is_no_day(value: object) -> None:
    assert read_day(value) is None


def test_texts() -> None:
    values: list[object] = ["a", "", 1, None, []]

    assert [read_text(value) for value in values] == ["a", "", None, None, None]


def test_objects() -> None:
    values: list[object] = [{"a": 1}, {}, [], "a", None]

    assert [read_mapping(value) for value in values] == [{"a": 1}, {}, None, None, None]


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
