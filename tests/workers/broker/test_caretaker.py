"""What the caretaker does at one look, with a clock that the test moves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from config.keys import Keys
from tests.harness import House
from workers.broker import DurableBroker
from workers.broker.caretaker import Caretaker

KEYS = Keys()
READS = KEYS.queue("reads")
#: A worker is dead after this many seconds of silence. It sends heartbeats four times as often.
HEARTBEAT = 100.0


class Clock:
    """Stands in for the module ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return time.time()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("workers.broker.caretaker.time", clock)
    return clock


@pytest.fixture
def caretaker(broker: DurableBroker, clock: Clock) -> Iterator[Caretaker]:
    """A caretaker whose thread does not run: a test calls for each look."""
    caretaker = Caretaker(broker, heartbeat_seconds=HEARTBEAT, queues=["reads"])
    yield caretaker
    caretaker._client.close()


@pytest.fixture
def silent_worker(house: House, caretaker: Caretaker) -> str:
    """A worker that the caretaker may call dead at its next heartbeat, since nothing was wrong for long enough."""
    caretaker._tick()
    caretaker._steady_since -= HEARTBEAT
    house.redis.zadd(KEYS.heartbeats, {"silent": 1})
    house.redis.hset(KEYS.workers, "silent", "{}")
    return "silent"


def waits_half_the_silence(house: House, caretaker: Caretaker, clock: Clock, worker: str) -> None:
    """Check that the worker counts as alive until half of the silence that means death is over, and no longer."""
    caretaker._tick()
    clock.now += HEARTBEAT / 4
    caretaker._tick()
    assert house.redis.zscore(KEYS.heartbeats, worker) == 1
    clock.now += HEARTBEAT / 4
    caretaker._tick()
    assert house.redis.zscore(KEYS.heartbeats, worker) is None


def test_after_a_slow_answer_nobody_is_called_dead_before_all_could_be_heard(
    house: House, caretaker: Caretaker, clock: Clock, silent_worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = caretaker._runner.run

    def run_slowly(*arguments: Any) -> Any:
        answer = run(*arguments)
        # Longer than a quarter of the silence, but too short to look like a clock that was set.
        clock.now += HEARTBEAT * 0.3
        return answer

    with monkeypatch.context() as slow:
        slow.setattr(caretaker._runner, "run", run_slowly)
        caretaker._tick()
    waits_half_the_silence(house, caretaker, clock, silent_worker)


@pytest.mark.parametrize("set_by", [HEARTBEAT, -HEARTBEAT], ids=["ahead", "back"])
def test_after_redis_s_clock_was_set_nobody_is_called_dead_before_all_could_be_heard(
    house: House, caretaker: Caretaker, clock: Clock, silent_worker: str, set_by: float
) -> None:
    # As if Redis's last answer were from before the clock was set.
    caretaker._clock_ms -= set_by * 1000
    waits_half_the_silence(house, caretaker, clock, silent_worker)


def test_of_an_old_dead_letter_nothing_is_kept(house: House, caretaker: Caretaker) -> None:
    """A body without a listed letter would keep somebody's number for ever."""
    house.redis.zadd(READS.dead, {"old": 1, "young": time.time() * 1000})
    for parts in (READS.dead_bodies, READS.dead_reasons):
        house.redis.hset(parts, mapping={"old": "{}", "young": "{}"})
    caretaker._tick()
    assert house.redis.zrange(READS.dead, 0, -1) == [b"young"]
    assert house.redis.hkeys(READS.dead_bodies) == house.redis.hkeys(READS.dead_reasons) == [b"young"]
