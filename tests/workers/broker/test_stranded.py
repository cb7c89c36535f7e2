"""Messages that no living worker has are found and put back: none waits for a worker that is gone, or without being in any list."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from config.keys import Keys
from tests.harness import House, message, wait_for
from tests.harness.fetching import fetch, hand_back
from workers.broker import DurableBroker
from workers.broker.caretaker import Caretaker

KEYS = Keys()
READS = KEYS.queue("reads")
#: A worker is dead after this many seconds of silence.
HEARTBEAT = 100.0
DAY_MS = 86_400_000


def _now_ms(house: House) -> float:
    seconds, micros = house.redis.time()
    return float(seconds * 1000 + micros / 1000)


def _put(house: House, *ids: str, queue: str = "reads") -> None:
    house.redis.hset(KEYS.queue(queue).bodies, mapping=dict.fromkeys(ids, "{}"))


@pytest.fixture
def look(broker: DurableBroker) -> Iterator[Callable[[], None]]:
    """Lets a caretaker whose thread does not run do what it does at each heartbeat, as if nothing had been wrong for long enough."""
    caretaker = Caretaker(broker, heartbeat_seconds=HEARTBEAT, queues=["reads"])

    def look() -> None:
        caretaker._steady_since = time.monotonic() - HEARTBEAT
        caretaker._beat_at = -HEARTBEAT
        caretaker._tick()

    look()
    yield look
    caretaker._client.close()


def test_ids_of_stock_producers_are_dropped_after_a_day_however_many(
    house: House, look: Callable[[], None]
) -> None:
    """Otherwise each would cost twenty commands at every heartbeat: with 10,000 of them, a look would take a quarter of a second."""
    now = _now_ms(house)
    house.redis.zadd(KEYS.heartbeats, {f"stock-{n}": now - 2 * DAY_MS for n in range(10_000)})
    house.redis.zadd(KEYS.heartbeats, {"busy stock worker": now - 3_600_000})
    # One of them belonged to a worker that died.
    _put(house, "a")
    house.redis.sadd(KEYS.acks("stock-5000", "reads"), "a")
    # A few heartbeats.
    for _ in range(11):
        look()
    assert house.redis.zcard(KEYS.heartbeats) == 2
    assert house.redis.lrange(READS.ready, 0, -1) == [b"a"]
    assert house.redis.zscore(KEYS.heartbeats, "busy stock worker")


def test_a_worker_whose_heartbeat_a_stranger_removed_is_missed_all_the_same(
    house: House, look: Callable[[], None]
) -> None:
    _put(house, "a")
    house.redis.rpush(READS.ready, "a")
    assert fetch(house.redis, "reads", "w1")
    house.redis.zrem(KEYS.heartbeats, "w1")
    look()
    assert house.redis.zscore(KEYS.heartbeats, "w1") is not None
    house.redis.zadd(KEYS.heartbeats, {"w1": 1})
    look()
    assert house.redis.lrange(READS.ready, 0, -1) == [b"a"]
    assert not house.redis.exists(KEYS.acks("w1", "reads"))


def test_whoever_fetches_is_registered(house: House) -> None:
    """Otherwise nobody would take over the messages of a fetch that comes after its worker was taken over."""
    _put(house, "a")
    house.redis.rpush(READS.ready, "a")
    fetch(house.redis, "reads", "w1")
    assert house.redis.zscore(KEYS.heartbeats, "w1")
    assert house.redis.hexists(KEYS.workers, "w1")


def test_a_fetch_from_before_a_reconciliation_takes_nothing(house: House) -> None:
    """Such a fetch came late: a living worker would have the messages outstanding without knowing them."""
    _put(house, "a")
    house.redis.rpush(READS.ready, "a")
    hand_back(house.redis, "reads", "w1", "others", epoch=2)
    assert fetch(house.redis, "reads", "w1", epoch=1) == []
    assert house.redis.llen(READS.ready) == 1
    assert fetch(house.redis, "reads", "w1", epoch=2) == [("a", b"{}", 0)]


def test_queues_that_only_a_newer_version_knows_are_handed_back_too(
    house: House, look: Callable[[], None]
) -> None:
    _put(house, "a", queue="new")
    house.redis.sadd(KEYS.acks("w1", "new"), "a")
    house.redis.zadd(KEYS.heartbeats, {"w1": 1})
    house.redis.hset(KEYS.workers, "w1", json.dumps({"queues": ["reads", "new"]}))
    look()
    assert house.redis.lrange("dramatiq:new", 0, -1) == [b"a"]


def test_what_several_workers_died_with_is_tried_alone_and_then_ends(
    house: House, look: Callable[[], None]
) -> None:
    """Messages that were outstanding with it must not end with it: after three deaths together, each is tried alone."""

    def dies() -> None:
        house.redis.zadd(KEYS.heartbeats, {"w1": 1})
        look()
        house.redis.delete(KEYS.epoch("w1", "reads"))

    _put(house, "poison", "other")
    house.redis.rpush(READS.ready, "poison", "other")
    for deaths in range(3):
        assert sorted(fetch(house.redis, "reads", "w1")) == [
            ("other", b"{}", deaths),
            ("poison", b"{}", deaths),
        ]
        dies()
    # The neighbour was tried alone, and is answered.
    house.redis.lrem(READS.ready, 0, "other")
    house.redis.hdel(READS.bodies, "other")
    for deaths in (3, 4, 5):
        house.redis.sadd(KEYS.acks("w1", "groups"), "under way")
        # The worker keeps itself free, and waits for the jobs that it has in hand.
        for _ in range(2):
            assert fetch(house.redis, "reads", "w1", others=("groups",)) == []
        assert fetch(house.redis, "groups", "w1", others=("reads",)) == []
        house.redis.delete(KEYS.acks("w1", "groups"))
        assert fetch(house.redis, "reads", "w1", others=("groups",)) == [("poison", b"{}", deaths)]
        assert fetch(house.redis, "reads", "w1", others=("groups",)) == []
        dies()
    # Not even a last answer could be given, so the message is not read any more.
    assert fetch(house.redis, "reads", "w1") == [("poison", 2, 6)]


def test_a_message_whose_list_is_gone_is_put_back_in_the_order_of_its_time(house: House) -> None:
    """If Redis evicts a list, its jobs must not be lost while all counts are 0 and `check` finds nothing wrong."""
    group = house.new_group()
    house.redis.set("coupontools:format", 2)
    ids = []
    for number in range(300):
        queue, redis_id, body = message(
            "add_contact", {"channel": "sms", "group_id": group, "phone": f"+3247{number:07d}"}
        )
        house.redis.hset(f"dramatiq:{queue}.msgs", redis_id, json.dumps(body))
        ids.append(str(body["message_id"]))
    # One message is outstanding for a worker of which nothing is known, and one waits in its list.
    house.redis.sadd("dramatiq:__acks__.nobody.contacts", redis_id)
    house.enqueue("add_contact", channel="sms", group_id=group, phone="+32479999999")
    worker = house.worker(WORKER_HEARTBEAT_SECONDS=1)
    answers = house.wait_answered(ids)
    assert all(len(events) == 1 for events in answers.values())
    wait_for(lambda: house.tally()["contact.added"] == 301, what="the one in the list")
    assert house.counts()["surplus_contacts"] == 0
    wait_for(
        lambda: sum(line["messages"] for line in worker.log_lines("queue.put_back")) >= 300,
        what="the lines of what was put back",
        show=house.log_tail,
    )
    wait_for(lambda: house.redis.hlen("dramatiq:contacts.msgs") == 0, what="nothing left over")
    assert worker.terminate() == 0
    assert set(house.tally()) == {"contact.added"}
