"""Which workers enrol.lua refuses, which it registers, and when it raises the number of the form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness.still_clock import NOW, StillClock
from workers.broker.scripts import SCRIPTS

KEYS = ["prefix_of", "namespace_of", "heartbeats", "workers", "format"]
ABOUT = '{"account":"mine"}'
#: What Redis has when w1 is enrolled, besides the number of the form.
ENROLLED: dict[str, Any] = {
    "prefix_of": "our",
    "namespace_of": "dramatiq",
    "heartbeats": {"w1": NOW},
    "workers": {"w1": ABOUT},
}


def enrol(
    still: StillClock,
    *,
    dead: tuple[str, str] = ("", ""),
    starts: bool = True,
    forms: tuple[int, int] = (1, 2),
) -> Any:
    """Enrol w1 of the pair dramatiq and our; check that a worker that is let in learns the form in use."""
    word, *told = still.ask(
        SCRIPTS["enrol"], KEYS, ["dramatiq", "our", *dead, "w1", ABOUT, "mine", int(starts), *forms]
    )
    if word == "ok":
        assert told == [int(still.all().get("format", "1"))]
        return [word]
    return [word, *told]


def living(still: StillClock, name: str, *, seen: int = 1, silence_ms: int | None = NOW, **told: Any) -> None:
    """Write a worker, which is alive unless ``seen`` and ``silence_ms`` say otherwise."""
    about = told if silence_ms is None else {"silence_ms": silence_ms, **told}
    still.redis.hset("workers", name, json.dumps(about))
    still.redis.zadd("heartbeats", {name: seen})


def test_the_first_worker_takes_the_names_and_the_newest_form(still: StillClock) -> None:
    assert enrol(still) == ["ok"]
    assert still.all() == ENROLLED | {"format": "2"}
    assert enrol(still) == ["ok"]
    assert still.all() == ENROLLED | {"format": "2"}


@pytest.mark.parametrize(("key", "word"), [("prefix_of", "namespace"), ("namespace_of", "prefix")])
def test_names_that_belong_to_others_are_told_until_they_are_found_dead(
    still: StillClock, key: str, word: str
) -> None:
    still.redis.set(key, "theirs")
    assert enrol(still) == [word, "theirs"]
    assert enrol(still, dead=("else", "else")) == [word, "theirs"]
    assert still.all() == {key: "theirs"}
    assert enrol(still, dead=("theirs", "theirs")) == ["ok"]
    assert still.all() == ENROLLED | {"format": "2"}


def test_a_living_worker_of_another_account_is_told_to_whoever_starts(still: StillClock) -> None:
    living(still, "w2", account="theirs")
    before = still.all()
    assert enrol(still) == ["account", "w2"]
    assert still.all() == before
    # A worker that was there first goes on.
    assert enrol(still, starts=False) == ["ok"]


@pytest.mark.parametrize(
    ("seen", "silence_ms", "account"),
    [
        (1, NOW, "mine"),
        (1, NOW, None),
        # Silent for so long that it counts as dead.
        (NOW - 1000, 1000, "theirs"),
        (NOW, None, "theirs"),
    ],
)
def test_a_dead_worker_and_one_of_the_same_account_stop_nobody(
    still: StillClock, seen: int, silence_ms: int | None, account: str | None
) -> None:
    living(still, "w2", seen=seen, silence_ms=silence_ms, account=account)
    assert enrol(still) == ["ok"]


@pytest.mark.parametrize(("seen", "silence_ms"), [(NOW - 999, 1000), (NOW + 1, None)])
def test_a_worker_lives_until_it_was_silent_for_so_long_as_it_says(
    still: StillClock, seen: int, silence_ms: int | None
) -> None:
    living(still, "w2", seen=seen, silence_ms=silence_ms, account="theirs")
    assert enrol(still) == ["account", "w2"]


@pytest.mark.parametrize("about", ["no JSON", "7"])
def test_a_worker_that_says_nothing_one_can_read_stops_nobody(still: StillClock, about: str) -> None:
    still.redis.hset("workers", "w2", about)
    still.redis.zadd("heartbeats", {"w2": NOW + 5})
    assert enrol(still) == ["ok"]
    # Such a worker reads only the first form.
    assert "format" not in still.all()


def test_a_worker_without_a_heartbeat_is_dead(still: StillClock) -> None:
    still.redis.hset("workers", "w2", json.dumps({"account": "theirs", "silence_ms": 1000}))
    assert enrol(still) == ["ok"]


def test_what_it_said_itself_before_does_not_stop_a_worker(still: StillClock) -> None:
    living(still, "w1", account="theirs", reads=[1])
    assert enrol(still) == ["ok"]
    assert still.all() == ENROLLED | {"format": "2"}


def test_what_a_worker_said_at_its_heartbeat_stands_when_it_looks_again(still: StillClock) -> None:
    assert enrol(still) == ["ok"]
    still.redis.hset("workers", "w1", '{"account":"mine","without":"a replica"}')
    assert enrol(still, starts=False) == ["ok"]
    assert still.all()["workers"] == {"w1": '{"account":"mine","without":"a replica"}'}
    # A worker that was taken for dead while it was frozen is registered anew.
    still.redis.delete("workers")
    assert enrol(still, starts=False) == ["ok"]
    assert still.all()["workers"] == {"w1": ABOUT}


@pytest.mark.parametrize(
    ("stored", "forms", "fits"),
    [
        ("1", (1, 2), True),
        ("2", (1, 2), True),
        ("3", (1, 2), False),
        ("1", (2, 2), False),
        (None, (2, 2), False),
        ("strange", (1, 2), False),
    ],
)
def test_a_form_that_this_release_cannot_read_is_left_alone(
    still: StillClock, stored: str | None, forms: tuple[int, int], *, fits: bool
) -> None:
    if stored:
        still.redis.set("format", stored)
    before = still.all()
    assert enrol(still, forms=forms) == (["ok"] if fits else ["format", stored or "1"])
    assert fits or still.all() == before


@pytest.mark.parametrize(
    ("reads", "other_reads", "rises"),
    [
        ([1, 2], [2], True),
        ([2], [1, 2], True),
        ([2, 3], [3, 2], True),
        ([1], [2], False),
        ([2], [1], False),
        ([1], [1], False),
        (None, [2], False),
        ([2], 2, False),
    ],
)
def test_the_form_rises_when_every_living_worker_reads_it(
    still: StillClock, reads: Any, other_reads: Any, *, rises: bool
) -> None:
    living(still, "w2", reads=reads)
    living(still, "w3", reads=other_reads)
    living(still, "dead", seen=1, silence_ms=5, reads=[1])
    assert enrol(still) == ["ok"]
    assert still.all().get("format") == ("2" if rises else None)
