"""The numbers that follow from the settings, each in the unit that its reader expects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config import Settings
from delivery import Policy
from delivery.retry import Backoff, Rests
from tests.harness.sync_ledger import LONG_POLICY

POLICY = replace(
    LONG_POLICY, cover=40.0, listing_timeout=300.0, read_back_after=15.0, backoff=Backoff(1, 600), rate=4
)


@pytest.mark.parametrize(
    ("rate", "interval_us", "horizon_ms", "claims"),
    [
        (0, 0, 20, None),
        (10, 100_000, 200, 1),
        (1000, 1000, 20, 11),
        (99, 10_101, 20.202, 1),
        (100, 10_000, 20, 2),
        (0.1, 10_000_000, 500, 1),
    ],
)
def test_the_pace_is_an_interval_and_how_far_ahead_of_it_slots_are_reserved(
    rate: float, interval_us: int, horizon_ms: float, claims: int | None
) -> None:
    policy = replace(POLICY, rate=rate)
    assert (policy.interval_us, policy.horizon_ms, policy.claims_at_once) == (interval_us, horizon_ms, claims)


def test_how_long_an_attempt_and_a_wait_may_last() -> None:
    # A listing, two leases, and three slots of a pace of four a second.
    assert POLICY.longest_attempt == 300 + 80 + 0.75
    # Twice the longest pause that the API may ask for.
    assert POLICY.longest_wait == 2 * 3600
    assert replace(POLICY, backoff=Backoff(1, 9000)).longest_wait == 2 * 9000
    assert replace(POLICY, read_back_after=9500.0).longest_wait == 2 * 9500


@pytest.mark.parametrize(
    ("after", "shortest", "rests"),
    [(15.0, 1, Rests(5.0, 15.0, 600)), (0.3, 1, Rests(0.5, 1, 600)), (1.5, 20, Rests(0.5, 20, 600))],
)
def test_listings_rest_for_a_third_of_what_lost_calls_wait(
    after: float, shortest: float, rests: Rests
) -> None:
    assert Rests.of(after, Backoff(shortest, 600)) == rests


def test_a_lease_covers_a_connection_a_call_and_some_more() -> None:
    settings = Settings(
        coupontools_client_id="id",
        coupontools_client_secret="made-up",
        coupontools_connect_timeout_seconds=5,
        coupontools_timeout_seconds=30,
        _env_file=None,
    )
    policy = Policy.of(settings)
    assert (policy.timeout, policy.cover, policy.listing_timeout) == (30, 40, 300)
    assert (policy.deadline, policy.read_back_after, policy.ttl, policy.rate) == (86_400, 15, 604_800, 10)
    assert (policy.backoff, policy.events_maxlen) == (Backoff(1, 600), 1_000_000)
    assert policy.secret == settings.secret_name
