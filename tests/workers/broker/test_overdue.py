"""The look through waiting messages: it finds deadlines that passed, and messages that a clock ahead has put off too far."""

from __future__ import annotations

import json
from typing import Any

from config.keys import Keys
from config.names import QUEUES
from tests.harness import House
from tests.harness.sync_ledger import now_ms
from workers.broker.scripts import SCRIPTS

KEYS = Keys()
CONTACTS = KEYS.queue("contacts")
HOUR_MS = 3_600_000


def look(house: House, at: int = 125) -> None:
    """Look once at ``at`` of all waiting messages."""
    keys = [KEYS.sweep, KEYS.parked, KEYS.holds, KEYS.cancelled]
    for queue in map(KEYS.queue, QUEUES):
        keys += [queue.ready, queue.bodies, queue.delayed, queue.forward]
    script = SCRIPTS["overdue"].source
    house.redis.eval(script, len(keys), *keys, "w1", 24 * HOUR_MS, at, 2 * HOUR_MS, *QUEUES)


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
    # Only once: a message that its claim has put off since then waits for its time.
    house.redis.delete(CONTACTS.delayed)
    look(house)
    look(house)
    assert not house.redis.exists(CONTACTS.delayed)


def test_what_other_places_leave_of_their_share_is_for_those_that_have_more(house: House) -> None:
    """A cancelled batch mostly waits in one place, and would otherwise be found more slowly."""
    now = now_ms()
    house.redis.hset(KEYS.cancelled, "b:big", now)
    for number in range(60):
        put(house, f"ready {number}", now, kwargs={"batch_id": "big"})
    for number in range(5):
        put(house, f"delayed {number}", now, due=now + HOUR_MS, kwargs={"batch_id": "big"})
    look(house, 50)
    assert house.redis.zcount(CONTACTS.delayed, "-inf", now_ms()) == 50


def test_what_may_have_been_carried_out_is_brought_forward_once(house: House) -> None:
    """Otherwise it would be fetched and put off four times a second until its look-up."""
    now = now_ms()
    house.redis.hset(KEYS.cancelled, mapping={"b:big": now, "u:looked at": now})
    for name in ("looked at", "new"):
        put(house, name, now, due=now + HOUR_MS, message_id=name, kwargs={"batch_id": "big"})
    look(house)
    assert due(house, "looked at") == now + HOUR_MS
    assert due(house, "new") <= now
