"""What waits is looked at in turn: deadlines that passed, and what a clock that was ahead has put off too far."""

from __future__ import annotations

import json
from typing import Any

from config.keys import Keys
from tests.harness import House
from tests.harness.sync_ledger import now_ms
from workers.broker.scripts import SCRIPTS

KEYS = Keys()
CONTACTS = KEYS.queue("contacts")
HOUR_MS = 3_600_000


def look(house: House) -> None:
    """Look once at all that waits."""
    keys = [KEYS.sweep, KEYS.parked, KEYS.holds, KEYS.cancelled]
    keys += [CONTACTS.ready, CONTACTS.bodies, CONTACTS.delayed, CONTACTS.forward]
    script = SCRIPTS["overdue"].source
    house.redis.eval(script, len(keys), *keys, "w1", 24 * HOUR_MS, 125, 2 * HOUR_MS, "contacts")


def put(house: House, name: str, since: int, due: int | None = None, **fields: Any) -> None:
    body = {"message_timestamp": since, "options": {}, "kwargs": {}, **fields}
    house.redis.hset(CONTACTS.bodies, name, json.dumps(body))
    if due is None:
        house.redis.rpush(CONTACTS.ready, name)
    else:
        house.redis.zadd(CONTACTS.delayed, {name: due})


def due(house: House, name: str) -> float:
    score = house.redis.zscore(CONTACTS.delayed, name)
    assert score is not None
    return score


def test_a_retry_that_a_clock_ahead_has_set_does_not_wait_for_it(house: House) -> None:
    """Redis's clock was a day ahead when the API answered 429, and is right again."""
    now = now_ms()
    put(house, "retry", now - HOUR_MS, due=now + 24 * HOUR_MS)
    put(house, "soon", now - HOUR_MS, due=now + HOUR_MS)
    put(house, "delay", now - HOUR_MS, due=now + 48 * HOUR_MS, options={"eta": now + 48 * HOUR_MS})
    look(house)
    assert due(house, "retry") <= now
    assert due(house, "soon") == now + HOUR_MS
    assert due(house, "delay") == now + 48 * HOUR_MS


def test_what_is_overdue_is_brought_before_all_that_waits(house: House) -> None:
    now = now_ms()
    for number in range(3):
        put(house, f"fine {number}", now)
    put(house, "late", now - 3000, kwargs={"deadline_seconds": 2})
    put(house, "old", now - 25 * HOUR_MS)
    look(house)
    assert set(house.redis.zrange(CONTACTS.delayed, 0, -1)) == {b"old", b"late"}
    assert max(due(house, "old"), due(house, "late")) < now
    # Once: what its claim has put off since then waits for its time.
    house.redis.delete(CONTACTS.delayed)
    look(house)
    look(house)
    assert not house.redis.exists(CONTACTS.delayed)
