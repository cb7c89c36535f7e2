"""Which lane gets the next place of a process, and how many places a lane may have."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from config.names import QUEUES
from delivery.shares import LANES, Shares


def test_every_queue_is_a_lane_and_the_most_urgent_is_the_first() -> None:
    assert tuple(LANES) == QUEUES


@pytest.mark.parametrize(
    ("lane", "place"),
    [("webhooks", 0.125), ("groups", 0.25), ("contacts", 0.25), ("reads", 0.5), ("bulk", 0.5)],
)
def test_a_place_costs_a_lane_the_less_the_more_it_weighs(lane: str, place: float) -> None:
    shares = Shares(4)
    for taken in (1, 2, 3):
        shares.take(lane)
        assert shares.rank(lane) == (True, taken * place)
        # A lane that was idle begins where the lane that got the last place had begun.
        idle = "bulk" if lane != "bulk" else "reads"
        assert shares.rank(idle) == (True, (taken - 1) * place)
    # The cost of its first place is added to that.
    shares.take(idle)
    assert shares.rank(idle)[1] == 2 * place + 0.5


def test_a_lane_below_its_least_share_goes_before_all_others() -> None:
    shares = Shares(20)
    for _ in range(2):
        assert shares.rank("bulk")[0] is False
        shares.take("bulk")
    # The lane has its tenth; the others do not.
    assert shares.rank("bulk")[0] is True
    assert min(LANES, key=shares.rank) != "bulk"
    assert shares.in_flight()["bulk"] == 2


@pytest.mark.parametrize(("concurrency", "least"), [(4, 0), (5, 1), (19, 1), (30, 3)])
def test_where_there_are_few_places_none_is_kept(concurrency: int, least: int) -> None:
    shares = Shares(concurrency)
    for taken in range(4):
        assert shares.rank("bulk")[0] is (taken >= least)
        shares.take("bulk")


def test_of_lanes_that_have_their_share_the_one_that_had_least_for_its_weight_goes_first() -> None:
    shares = Shares(4)
    order = []
    for _ in range(9):
        lane = min(("webhooks", "contacts"), key=shares.rank)
        shares.take(lane)
        order.append(lane)
    # Webhooks weigh twice as much.
    assert (order.count("webhooks"), order.count("contacts")) == (6, 3)
    # A lane that was idle has saved nothing up: it begins where the others are.
    assert shares.rank("groups")[1] == pytest.approx(min(shares.rank(lane)[1] for lane in LANES))


@pytest.mark.parametrize(
    ("concurrency", "reads", "others"),
    [(1, 1, 0), (4, 1, 0), (5, 1, 0), (8, 1, 1), (11, 1, 1), (12, 2, 1), (64, 10, 6)],
)
def test_listings_have_a_quarter_of_the_places_at_most(concurrency: int, reads: int, others: int) -> None:
    """The lane `reads` leaves a tenth of the places to the listings of others: else `create_group` would wait for those that drip."""
    shares = Shares(concurrency)
    for _ in range(reads):
        assert shares.may_take("reads")
        shares.take("reads")
    assert not shares.may_take("reads")
    assert shares.may_take("contacts")
    with ExitStack() as listings:
        for _ in range(others):
            assert shares.may_list
            listings.enter_context(shares.listing())
        assert not shares.may_list
        shares.leave("reads")
        assert shares.may_take("reads")
        # A listing that reads back counts as well, whatever its lane.
        listings.enter_context(shares.listing())
        assert not shares.may_take("reads")
    assert shares.may_take("reads")


def test_each_place_and_each_listing_is_counted_once() -> None:
    shares = Shares(12)
    for _ in range(3):
        for lane, count in (("contacts", 1), ("contacts", 2), ("reads", 1)):
            shares.take(lane)
            assert shares.in_flight()[lane] == count
        assert not shares.are_taken
        # Three listings may be read at once: one by the job of the lane `reads`, and two that read back.
        with shares.listing():
            assert shares.may_list
            with shares.listing():
                assert not shares.may_list
            assert shares.may_list
        for lane in ("contacts", "reads", "contacts"):
            shares.leave(lane)
        assert not any(shares.in_flight().values())
    for _ in range(12):
        assert not shares.are_taken
        shares.take("contacts")
    assert shares.are_taken


def test_since_when_all_places_are_taken_is_told_until_one_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delivery.shares.time.monotonic", lambda: 55.5)
    shares = Shares(2)
    shares.take("contacts")
    assert (shares.are_taken, shares.full_since) == (False, None)
    shares.take("contacts")
    assert shares.are_taken
    assert shares.full_since == 55.5
    shares.leave("contacts")
    assert (shares.are_taken, shares.full_since, shares.in_flight()["contacts"]) == (False, None, 1)
