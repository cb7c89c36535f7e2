"""Which signal a look-up gives about the account when its listing could not be read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coupontools import AccountRefused, CoupontoolsError, MayHaveHappened, NotSent
from delivery import Task
from delivery.account import SILENT, listing_trouble
from delivery.retry import meaning_of


def test_a_slow_listing_is_no_outage_of_the_account(still_task: Callable[..., Task]) -> None:
    """Only the look-up itself waits; an outage would stop every job of that kind."""
    error = MayHaveHappened("no answer in time", outage=True)
    meaning = meaning_of(error, effect=False, shortest_pause=1.0)
    assert (meaning.signal, meaning.connect) == ("outage", False)
    assert listing_trouble(still_task("job"), meaning, error) is SILENT


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (NotSent("no connection", outage=True), "outage"),
        (AccountRefused("expired", code=101, status=200), "refused"),
    ],
)
def test_what_concerns_all_is_told_and_names_the_listing(
    still_task: Callable[..., Task], error: CoupontoolsError, word: str
) -> None:
    task = still_task("job")
    signal = listing_trouble(task, meaning_of(error, effect=False, shortest_pause=1.0), error)
    assert (signal.word, signal.about) == (word, task.listing)
