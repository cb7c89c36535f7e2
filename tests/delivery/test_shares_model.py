"""Slots by lane, and the deadline in force after random holds, compared with plain Python."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from config.keys import Keys
from delivery import Ledger, Task
from delivery.account import it_works
from delivery.settlement import NoSettlement, Signal
from delivery.shares import LANES
from tests.harness import House
from tests.harness.records import NOW_US
from tests.harness.still_clock import StillClock
from tests.harness.sync_ledger import finish

KEYS = Keys()
SCOPES = ("account", "sms")


@pytest.mark.parametrize("seed", range(12))
def test_slots_go_to_the_lanes_by_their_weights(still: StillClock, still_ledger: Ledger, seed: int) -> None:
    """Two processes ask for slots for the lanes that they have work for, and each lane gets its share.

    The clock stands still: on a busy machine a lane might ask so seldom that the others would not wait for it any more.
    """
    chance = random.Random(seed)  # noqa: S311 - must repeat, not resist guessing
    steady = chance.sample(list(LANES), chance.randint(2, 5))
    homes = {lane: chance.sample([0, 1], chance.randint(1, 2)) for lane in steady}
    got, asked = Counter[str](), 0
    while got.total() < 120:
        asked += 1
        process = chance.randint(0, 1)
        waiting = [lane for lane in steady if process in homes[lane]]
        if not waiting:
            continue
        lane = chance.choice(waiting)
        _, reserved = finish(still_ledger.reserve(lane, waiting))
        if reserved:
            got[lane] += 1
            # Free the next slot, so that the test need not wait for it.
            still.redis.hset(KEYS.pace, "tat", NOW_US)
    weights = sum(LANES[lane] for lane in steady)
    for lane in steady:
        share = got[lane] / got.total()
        assert share >= 0.1 - 0.02
        assert share == pytest.approx(LANES[lane] / weights, abs=0.04)
    assert asked < 2000


@pytest.mark.parametrize("seed", range(12))
def test_the_deadline_in_force_is_the_time_that_any_hold_took(
    house: House, ledger: Ledger, task: Callable[..., Task], seed: int
) -> None:
    """Refusals of the account and of a channel begin, overlap and end; their events show how much of a job's time they took."""
    chance = random.Random(seed)  # noqa: S311 - must repeat, not resist guessing
    job = task("job")
    moments = [round(time.time() * 1000)]
    for number in range(chance.randint(5, 40)):
        scope = chance.choice(SCOPES)
        refused = Signal(
            word="refused", call="add_contact", about=job.about, channel="sms", scope=scope, code="101"
        )
        signal = refused if chance.random() < 0.6 else it_works(job)
        finish(ledger.settle(job, f"t{number}", NoSettlement(), signal))
        time.sleep(chance.choice([0, 0, 0.001, 0.004]))
        moments.append(round(time.time() * 1000))
    finish(ledger.settle(job, "end", NoSettlement(), it_works(job)))
    assert not house.redis.exists(KEYS.holds)

    spans = held_spans(house)
    for at in moments:
        since = at + chance.randint(-2, 2)
        late = task(f"job {at} {since} {chance.random()}", since=since)
        claim = finish(ledger.claim(late, "t"))
        expected = sum(max(0, until - max(began, since)) for began, until in spans)
        assert claim.deadline - late.deadline == expected, (since, spans)


def held_spans(house: House) -> list[tuple[int, int]]:
    """Return the periods in which the channel was held, by the event stream; periods that overlap are one."""
    standing: set[str] = set()
    spans: list[tuple[int, int]] = []
    began = 0
    for _, fields in house.redis.xrange(KEYS.events):
        event = json.loads(fields[b"event"])
        scope, moment = event["data"]["scope"], int(event["id"].rsplit("/", 1)[1]) // 1000
        if event["type"] == "coupontools.account.held":
            began = began if standing else moment
            standing.add(scope)
        else:
            standing.discard(scope)
            if not standing:
                spans.append((began, moment))
    return spans
