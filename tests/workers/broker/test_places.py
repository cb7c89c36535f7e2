"""How many messages a process may have in hand, of each queue and of all."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from workers.broker.places import Places


def test_a_process_takes_as_many_as_it_can_begin() -> None:
    places = Places(40)
    assert (places.room("contacts"), places.room("contacts", waiting=39)) == (40, 40)
    # If more messages wait than all workers could begin, this one takes half as many again.
    assert places.room("contacts", waiting=40) == 60
    for _ in range(38):
        places.take("contacts")
    assert places.room("bulk") == 4, "a tenth for each queue, whatever the others have"
    assert places.room("contacts") == 2
    assert places.room("contacts", waiting=40) == 22
    for _ in range(3):
        places.take("bulk")
    assert (places.room("bulk"), places.room("contacts")) == (1, 0)
    places.leave("bulk")
    assert places.room("bulk") == 2


def test_no_more_listings_are_in_hand_than_may_be_read_at_once() -> None:
    places = Places(40)
    assert places.room("reads") == places.room("reads", waiting=99) == 6
    for _ in range(5):
        places.take("reads")
    assert places.room("reads") == 1
    for _ in range(2):
        places.take("reads")
    assert places.room("reads") == 0


def test_the_smallest_process_has_a_place_for_each() -> None:
    places = Places(1)
    assert (places.room("contacts"), places.room("reads"), places.room("contacts", waiting=1)) == (1, 1, 2)
    places.take("contacts")
    assert (places.room("contacts"), places.room("groups")) == (0, 1)


@pytest.mark.parametrize(
    ("concurrency", "waiting", "worth"), [(40, 39, 8), (40, 40, 10), (8, 8, 8), (1, 0, 8)]
)
def test_how_much_room_is_worth_a_fetch(concurrency: int, waiting: int, worth: int) -> None:
    assert Places(concurrency).worth_a_fetch(waiting) == worth


def test_whoever_waits_for_room_is_woken_by_what_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(1)
    places.take("contacts")
    assert places.wait_for_room("contacts", 0, timeout=0.001) == 0
    looked = threading.Event()
    room = places.room

    def noted(*given: Any) -> int:
        looked.set()
        return room(*given)

    monkeypatch.setattr(places, "room", noted)
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(places.wait_for_room("contacts", 0, timeout=60)))
    waiting.start()
    # The thread has found no room, so only a message that leaves can wake it.
    assert looked.wait(timeout=60)
    places.leave("contacts")
    waiting.join(timeout=120)
    assert found == [1]


def test_where_there_is_room_nobody_waits() -> None:
    places = Places(2)
    places.take("contacts")
    assert places.wait_for_room("contacts", 0, timeout=0.0) == 1
    assert places.wait_for_room("contacts", 2, timeout=0.0) == 2


def test_half_as_many_as_can_begin_are_spare() -> None:
    for concurrency, spare in ((1, 1), (2, 1), (5, 2), (64, 32)):
        places = Places(concurrency)
        assert places.room("bulk", waiting=concurrency) == concurrency + spare
        assert places.room("bulk") == concurrency
