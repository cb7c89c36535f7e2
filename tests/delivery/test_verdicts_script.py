"""What verdicts.lua does with verdicts on calls that are no longer the record's last one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from delivery import Ledger, Task, Verdict
from delivery.retry import Rests
from delivery.settlement import Lost
from tests.harness import House
from tests.harness.sync_ledger import finish


@pytest.mark.parametrize("word", ["found", "absent", "undecided"])
def test_a_verdict_counts_only_for_the_call_it_was_made_for(
    house: House, ledger: Ledger, task: Callable[..., Task], word: str
) -> None:
    """A listing from before the last call cannot show what that call did: after `absent` it would be made twice."""
    lost = task("lost")
    finish(ledger.claim(lost, "t1"))
    finish(ledger.settle(lost, "t1", Lost()))
    listing = lost.listing
    _, [unknown] = finish(ledger.unknowns.of(listing))
    before = house.redis.hgetall(ledger.record(lost))
    for ended, counts in ((unknown.ended - 1, False), (unknown.ended, True)):
        verdict = Verdict(replace(unknown, ended=ended), word)
        finish(ledger.unknowns.judge(listing, "t2", [verdict], Rests(1, 10, 60)))
        assert (house.redis.hgetall(ledger.record(lost)) != before) is counts


def test_what_was_found_is_not_overwritten_by_an_older_look(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """A reader that lost the reader lock reads on without knowing what the next reader found: its `absent` would make the call again."""
    lost = task("lost")
    finish(ledger.claim(lost, "t1"))
    finish(ledger.settle(lost, "t1", Lost()))
    _, [unknown] = finish(ledger.unknowns.of(lost.listing))
    for word in ("found", "absent", "undecided"):
        verdict = Verdict(unknown, word, {"contact_id": "con_1"} if word == "found" else {})
        finish(ledger.unknowns.judge(lost.listing, "t2", [verdict], Rests(1, 10, 60)))
    house.redis.sadd("acks", "lost")
    assert finish(ledger.claim(lost, "t3")).verb == "found"
