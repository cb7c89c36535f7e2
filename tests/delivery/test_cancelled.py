"""Cancelled jobs: how fast they are answered, and that a job whose call may have happened waits for its look-up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from config.keys import Keys
from delivery import Ledger, Task, cancelling, is_cancelled
from delivery.settlement import Lost
from tests.harness import House, wait_for
from tests.harness.still_clock import NOW, StillClock
from tests.harness.sync_ledger import LONG_POLICY, finish
from workers.redis_link import ThreadRunner

KEYS = Keys()


def cancel(house: House, *messages: str) -> None:
    ThreadRunner(house.redis).run(*cancelling(KEYS, LONG_POLICY, messages=messages))


@pytest.mark.parametrize(
    ("mark", "began_at", "catches"),
    [(None, 0, False), (b"5", 5, True), (b"5", 6, False), (b"a stranger's", 1, False)],
)
def test_the_mark_of_a_batch_catches_what_is_sent_while_its_counts_live(
    mark: bytes | None, began_at: float, *, catches: bool
) -> None:
    assert is_cancelled(mark, began_at) is catches


def test_the_mark_of_a_batch_lies_as_far_ahead_as_its_counts_live(still: StillClock) -> None:
    still.ask(*cancelling(KEYS, LONG_POLICY, messages=["m-1"], batch_id="spring"))
    until = str(NOW + round(LONG_POLICY.ttl * 1000))
    assert still.all() == {KEYS.cancelled: {"m:m-1": until, "b:spring": until}}


def test_no_more_than_a_thousand_are_answered_in_a_second(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """A reader of the stream could not follow if a million cancelled jobs were answered at once."""
    cancel(house, *map(str, range(400)))
    jobs = map(str, range(400))

    def second() -> int:
        return int(house.redis.time()[0])

    def next_of(told: int) -> str:
        house.redis.hset(KEYS.cancelled, "pace", f"{second()} {told}")
        return finish(ledger.claim(task(next(jobs)), "t")).verb

    # A second may end between the two steps.
    wait_for(lambda: next_of(1000) == "deferred", what="a claim in the second that is told of")
    assert all(score % 1000 == 0 for _, score in house.redis.zscan_iter("delayed"))
    assert next_of(999) == "cancelled"
    house.redis.hset(KEYS.cancelled, "pace", f"{second() - 1} 1000")
    assert finish(ledger.claim(task("399"), "t")).verb == "cancelled"


def test_what_may_have_been_carried_out_waits_for_its_look_up_and_is_marked(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """Without that mark, the job would be brought forward and put off four times a second until then."""
    job = task("lost")
    assert finish(ledger.claim(job, "t")).verb == "call"
    finish(ledger.settle(job, "t", Lost(delay=3_600_000)))
    cancel(house, "lost")
    assert finish(ledger.claim(task("lost"), "t2")).verb == "deferred"
    assert house.redis.hexists(KEYS.cancelled, "u:lost")
