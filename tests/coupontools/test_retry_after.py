"""The `Retry-After` header in its two forms, and in others that cannot be read."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coupontools.retry_after import retry_after

NOW = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (" 1.5 ", 1.5),
        ("120, 60", 120.0),
        ("Wed, 21 Oct 2015 07:29:00 GMT, Wed, 21 Oct 2015 07:29:00 GMT", 60.0),
        ("Wed, 21 Oct 2015 07:29:00 GMT", 60.0),
        ("Wednesday, 21-Oct-15 07:29:00 GMT", 60.0),
        ("Wed Oct 21 07:29:00 2015", 60.0),
        ("Wed, 21 Oct 2015 07:29:00 -0000", 60.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("-5", None),
        ("120, soon", None),
        ("soon", None),
        ("", None),
        ("9" * 400, None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_forms(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value, "date": NOW}) == seconds


def test_no_header() -> None:
    assert retry_after({}) is None


def test_date_long_past_without_a_date_to_compare_with() -> None:
    assert retry_after({"retry-after": NOW}) == 0.0


# How fast examples are made says something about the machine, not about the code.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(), st.text())
def test_any_header_is_read_or_passed_over(value: str, date: str) -> None:
    seconds = retry_after({"retry-after": value, "date": date})
    assert seconds is None or seconds >= 0
