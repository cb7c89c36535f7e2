"""Backoff: bounds, full jitter, and Retry-After with its cap."""

from __future__ import annotations

import statistics

import hypothesis.strategies as st
import pytest
from hypothesis import given

from delivery.retry import Backoff, Pause

seconds = st.floats(min_value=0.01, max_value=3600)


@given(a=seconds, b=seconds, attempts=st.integers(0, 100_000))
def test_between_the_bounds_whatever_the_attempt(a: float, b: float, attempts: int) -> None:
    backoff = Backoff(min(a, b), max(a, b))
    wait = backoff.seconds(attempts)
    assert backoff.shortest <= wait <= backoff.longest
    # Full jitter below a ceiling that doubles: an early attempt never waits as long as a late one may.
    assert wait <= max(backoff.shortest, backoff.shortest * 2.0 ** min(attempts, 60))


@pytest.mark.parametrize(
    ("attempts", "ceiling"), [(1, 2.0), (3, 8.0), (9, 512.0), (10, 600.0), (1000, 600.0)]
)
def test_waits_are_spread_over_the_whole_range(attempts: int, ceiling: float) -> None:
    waits = [Backoff(1, 600).seconds(attempts) for _ in range(2000)]
    # Among 2,000 draws no quarter of the range stays empty by chance.
    for quarter in range(4):
        low = 1 + (ceiling - 1) * quarter / 4
        assert any(low <= wait <= low + (ceiling - 1) / 4 for wait in waits)
    assert statistics.fmean(waits) == pytest.approx((1 + ceiling) / 2, rel=0.1)


@given(attempts=st.integers(0, 20), asked=st.floats(0, 1e9))
def test_retry_after_is_kept_to_unless_it_is_absurd(attempts: int, asked: float) -> None:
    wait = Backoff(1, 600).seconds(attempts, asked)
    assert wait >= min(asked, Pause.asked_longest)
    assert wait <= max(600, Pause.asked_longest)
    assert wait <= max(600, asked)


def test_equal_bounds_leave_nothing_to_chance() -> None:
    assert {Backoff(5, 5).seconds(attempts) for attempts in range(10)} == {5}
