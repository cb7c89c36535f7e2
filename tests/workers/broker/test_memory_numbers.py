"""The number by which a worker knows whether Redis still has what it wrote, look by look."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.keys import Keys
from tests.harness.records import DAY_MS
from tests.harness.still_clock import NOW, StillClock
from workers.broker.memory import Memory

KEYS = Keys()


@pytest.fixture
def memory(still: StillClock) -> Memory:
    broker: Any = SimpleNamespace(keys=KEYS, broker_id="w1", client=still.redis)
    memory = Memory(broker, 2.5)
    its: Any = SimpleNamespace(run=still.run_now)
    memory._runner = its
    return memory


def look(memory: Memory) -> list[str]:
    with capture_logs() as lines:
        memory.look()
    return [f"{line['log_level']} {line['event']}" for line in lines]


def test_each_look_writes_the_next_number_which_stays_for_a_day(still: StillClock, memory: Memory) -> None:
    for number in ("1", "2", "3"):
        assert look(memory) == []
        assert still.all() == {KEYS.memory("w1"): number}
    assert still.lives(KEYS.memory("w1"), DAY_MS)


@pytest.mark.parametrize("left", [None, "1"], ids=["all is gone", "an old copy"])
def test_a_number_that_is_gone_or_older_is_told_once_and_shown_for_a_week(
    still: StillClock, memory: Memory, left: str | None
) -> None:
    look(memory)
    look(memory)
    still.redis.flushall()
    if left:
        still.redis.set(KEYS.memory("w1"), left)
    assert look(memory) == ["critical redis.forgot"]
    assert still.all() == {KEYS.memory("w1"): "3", KEYS.forgot: {"at": str(NOW), "times": "1"}}
    assert still.lives(KEYS.forgot, 7 * DAY_MS)
    assert look(memory) == []


@pytest.mark.parametrize(("after", "times"), [(2500, "1"), (2501, "2")])
def test_what_all_workers_find_within_a_silence_is_one_loss(
    still: StillClock, memory: Memory, after: int, times: str
) -> None:
    look(memory)
    still.redis.delete(KEYS.memory("w1"))
    look(memory)
    still.redis.delete(KEYS.memory("w1"))
    still.now = NOW + after
    assert look(memory) == ["critical redis.forgot"]
    assert still.all()[KEYS.forgot]["times"] == times
