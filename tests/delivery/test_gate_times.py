"""When the gate of one process acts: how long it believes in a hold and waits for the pace, and when it lets overdue jobs in."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from delivery.gate import Gate
from delivery.retry import Pause
from tests.harness.crowd import LONG, SMS, Crowd, turns


class LoopClock:
    """The time of this test's event loop; it stands still unless the test moves it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time()
        self.timers: list[asyncio.TimerHandle] = []

    async def at(self, moment: float) -> None:
        self.now = moment
        await turns(8)

    def waking(self, gate: Gate) -> list[float]:
        """Return when the gate will look again."""
        return [
            timer.when()
            for timer in self.timers
            if not timer.cancelled() and timer.when() > self.now and timer._callback == gate._pump  # type: ignore[attr-defined]
        ]


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> LoopClock:
    loop = asyncio.get_running_loop()
    clock, call_at = LoopClock(loop), loop.call_at

    def noted(*given: Any, **more: Any) -> asyncio.TimerHandle:
        clock.timers.append(call_at(*given, **more))
        return clock.timers[-1]

    monkeypatch.setattr(loop, "time", lambda: clock.now)
    monkeypatch.setattr(loop, "call_at", noted)
    return clock


async def test_a_hold_is_believed_for_a_moment_and_then_asked_for(clock: LoopClock) -> None:
    gate, began = Gate(2), clock.now
    gate.hold("account/refused", SMS)
    assert gate.holds_up(SMS) == "account/refused"
    await clock.at(began + Pause.hold_believed - 0.001)
    assert gate.holds_up(SMS) == "account/refused"
    await clock.at(began + Pause.hold_believed)
    assert gate.holds_up(SMS) is None
    gate.hold("account/refused", SMS)
    gate.release()
    assert gate.holds_up(SMS) is None


@pytest.mark.parametrize(("seconds", "pause"), [(0.5, 0.5), (0.0, Pause.paced_first)])
async def test_nobody_asks_before_the_pace_allows_it(clock: LoopClock, seconds: float, pause: float) -> None:
    crowd, began = Crowd(Gate(10)), clock.now
    crowd.gate.pace(seconds, "contacts", "")
    await crowd.add("a")
    await crowd.add("b", lane="webhooks")
    await clock.at(began + pause * 0.99)
    assert crowd.inside == []
    await clock.at(began + pause)
    assert sorted(crowd.inside) == ["a", "b"]
    await crowd.end()


async def test_a_later_shorter_pause_opens_nothing(clock: LoopClock) -> None:
    crowd, began = Crowd(Gate(10)), clock.now
    crowd.gate.pace(LONG, "contacts", "")
    crowd.gate.pace(0.001, "contacts", "")
    await crowd.add("a")
    await clock.at(began + LONG - 1)
    assert crowd.inside == []
    await clock.at(began + LONG)
    assert crowd.inside == ["a"]
    await crowd.end()


async def test_a_lane_that_yields_comes_back_when_it_was_told_last(clock: LoopClock) -> None:
    crowd, began = Crowd(Gate(10)), clock.now
    crowd.gate.pace(LONG, "contacts", "bulk")
    await crowd.add("a")
    crowd.gate.pace(0.5, "contacts", "bulk")
    await clock.at(began + 0.499)
    assert crowd.inside == []
    await clock.at(began + 0.5)
    assert crowd.inside == ["a"]
    await crowd.end()


async def test_the_gate_has_one_timer_at_most_and_none_where_nobody_waits_for_a_time(
    clock: LoopClock,
) -> None:
    """With a timer for each claim that came too early, a crowd of jobs would ask Redis at once."""
    crowd, began = Crowd(Gate(1)), clock.now
    gate = crowd.gate
    gate.pace(5.0, "contacts", "")
    assert clock.waking(gate) == [], "nobody is there to be let in"
    await crowd.add("a")
    await crowd.add("b")
    for seconds in (6.0, 7.0, 8.0):
        gate.pace(seconds, "contacts", "")
        assert clock.waking(gate) == [began + seconds]
    gate.pace(9.0, "contacts", "bulk")
    # The gate waits first for the pace, then for the lane.
    assert clock.waking(gate) == [began + 8.0]
    await clock.at(began + 8.0)
    assert (crowd.inside, clock.waking(gate)) == ([], [began + 9.0])
    await clock.at(began + 9.0)
    assert crowd.inside == ["a"]
    assert clock.waking(gate) == [], "b waits for a place, and no time brings one"
    await crowd.let_go("a")
    assert crowd.inside == ["b"]
    # No timer waits for the deadline of a job that is inside.
    assert [timer for timer in clock.timers if not timer.cancelled() and timer.when() > clock.now] == []
    await crowd.end()


async def test_a_gate_that_drains_waits_for_no_time(clock: LoopClock) -> None:
    crowd = Crowd(Gate(1))
    crowd.gate.pace(5.0, "contacts", "")
    await crowd.add("a")
    assert clock.waking(crowd.gate)
    crowd.gate.drain()
    assert clock.waking(crowd.gate) == []
    await crowd.end()


@pytest.mark.parametrize("seed", range(20))
async def test_whoever_goes_or_becomes_overdue_the_others_keep_their_order(
    clock: LoopClock, seed: int
) -> None:
    """Some jobs come back with the numbers they had, so numbers come in any order."""
    chance = random.Random(seed)  # noqa: S311 - must repeat, not resist guessing
    gate, began = Gate(1), clock.now
    numbers = chance.sample(range(100), 14)
    overdue, gone = set(numbers[:4]), set(numbers[3:7])
    chance.shuffle(numbers)
    order: list[int] = []

    async def job(number: int) -> None:
        ticket = await gate.enter("contacts", SMS, number, 1.0 if number in overdue else LONG)
        with gate.inside(ticket):
            order.append(number)

    first = await gate.enter("bulk", SMS, None, LONG)
    jobs = {number: asyncio.create_task(job(number)) for number in numbers}
    await turns()
    await clock.at(began + 1.0)
    for number in gone:
        jobs[number].cancel()
    await turns()
    with gate.inside(first):
        pass
    await asyncio.gather(*jobs.values(), return_exceptions=True)
    assert order == [*sorted(overdue - gone), *sorted(set(numbers) - overdue - gone)]


async def test_a_listing_that_is_overdue_waits_for_room_and_keeps_nobody_else(clock: LoopClock) -> None:
    crowd, began = Crowd(Gate(4)), clock.now
    await crowd.add("read 1", lane="reads")
    await crowd.add("read 2", lane="reads", patience=1.0)
    await clock.at(began + 1.0)
    await crowd.add("contact")
    assert crowd.inside == ["read 1", "contact"]
    await crowd.let_go("read 1")
    assert crowd.inside == ["contact", "read 2"]
    await crowd.end()
