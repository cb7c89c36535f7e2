"""One turn of a queue's consumer: what it asks of Redis, when it waits, and what it does when Redis is away."""

from __future__ import annotations

import itertools
import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from dramatiq.errors import ConnectionClosed
from structlog.testing import capture_logs

from config.keys import Keys
from tests.harness.still_clock import StillClock
from workers.broker import consumer as its_module
from workers.broker.consumer import DurableConsumer
from workers.broker.places import Places

KEYS = Keys()
READS = KEYS.queue("reads")
ACKS = KEYS.acks("w1", "reads")
AWAY = redis.ConnectionError("away")


class Clock:
    """Stands in for the module ``time``; nobody sleeps, but the time passes."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Link:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.losses = 0
        self.told: list[tuple[str, str]] = []

    def lost(self, who: str, _error: Exception, _began: float) -> float:
        self.losses += 1
        self.told.append(("lost", who))
        return 0.7

    def answered(self, who: str) -> None:
        self.told.append(("answered", who))

    def retire(self, who: str) -> None:
        self.told.append(("retire", who))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(its_module, "time", clock)
    return clock


@pytest.fixture
def home(still: StillClock) -> Any:
    numbers = itertools.count(1)
    return SimpleNamespace(
        broker_id="w1",
        about=b"{}",
        keys=KEYS,
        link=Link(),
        client=still.redis,
        waiting_client=lambda: SimpleNamespace(
            execute_command=still.redis.execute_command, close=lambda: None
        ),
        get_declared_queues=lambda: {"reads", "bulk"},
        events_maxlen=1000,
        homes={"list_groups": ("reads",)},
        places=Places(40),
        next_epoch=lambda: next(numbers),
        on_set_aside=lambda _: None,
        rejection=lambda _, reason: json.dumps({"reason": reason}),
        is_benched=lambda: False,
        draining=threading.Event(),
        deserted=threading.Event(),
    )


@pytest.fixture
def consumer(home: Any, clock: Clock) -> DurableConsumer:
    # Redis 6.2 takes a millisecond for no time limit at all.
    return DurableConsumer(home, "reads", timeout=0.005)


def push(still: StillClock, *ids: str) -> None:
    for each in ids:
        body = {
            "queue_name": "reads", "actor_name": "list_groups", "args": [], "kwargs": {}, "message_id": f"m-{each}",
            "options": {"redis_message_id": each}, "message_timestamp": 5,
        }  # fmt: skip
        still.redis.hset(READS.bodies, each, json.dumps(body))
        still.redis.rpush(READS.ready, each)


def ids(consumer: DurableConsumer, turns: int) -> list[str | None]:
    taken = [next(consumer) for _ in range(turns)]
    return [message.receipt.id if message else None for message in taken]


def test_messages_are_taken_in_their_order_and_stay_outstanding(
    still: StillClock, home: Any, consumer: DurableConsumer
) -> None:
    push(still, "a", "b")
    first = next(consumer)
    assert first is not None
    assert ids(consumer, 2) == ["b", None]
    assert consumer.outstanding_message_count == 2
    # The actor's return is no answer.
    consumer.ack(first)
    consumer.requeue([first])
    assert still.all()[ACKS] == {"a", "b"}
    assert ("answered", "fetch-reads") in home.link.told


def test_where_redis_is_away_it_waits_and_then_puts_in_order_what_a_lost_reply_left(
    still: StillClock, home: Any, consumer: DurableConsumer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ids(consumer, 1) == [None]
    push(still, "a")
    still.redis.sadd(ACKS, "lost")
    still.redis.hset(READS.bodies, "lost", "{}")
    consumer._quiet_until = 0.0
    with monkeypatch.context() as away:
        away.setattr(consumer._runner, "run", lambda *_: (_ for _ in ()).throw(AWAY))
        assert ids(consumer, 1) == [None]
    assert clock.slept == [0.7]
    assert ("lost", "fetch-reads") in home.link.told
    with capture_logs() as lines:
        assert ids(consumer, 1) == ["a"]
    assert "lost" not in still.all()[ACKS]
    assert [
        (line["event"], line["queue"], line["messages"])
        for line in lines
        if line["event"] == "queue.reconciled"
    ] == [("queue.reconciled", "reads", 1)]


def test_what_is_no_outage_is_a_fault(consumer: DurableConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        consumer._runner, "run", lambda *_: (_ for _ in ()).throw(redis.ResponseError("WRONGTYPE"))
    )
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        next(consumer)


def test_a_worker_that_stops_takes_nothing_and_is_waited_for_by_nobody(
    still: StillClock, home: Any, consumer: DurableConsumer
) -> None:
    push(still, "a")
    home.draining.set()
    assert ids(consumer, 1) == [None]
    assert home.link.told == [("retire", "fetch-reads"), ("retire", "wait-reads")]
    assert still.all()[READS.ready] == ["a"]


def test_a_worker_that_may_not_call_takes_nothing(
    still: StillClock, home: Any, consumer: DurableConsumer
) -> None:
    push(still, "a")
    home.is_benched = lambda: True
    assert ids(consumer, 1) == [None]
    assert still.all()[READS.ready] == ["a"]


def test_an_idle_worker_waits_for_its_list_and_looks_at_all_places_now_and_then(
    still: StillClock, home: Any, consumer: DurableConsumer, clock: Clock
) -> None:
    assert ids(consumer, 1) == [None]
    still.redis.hset(READS.bodies, "due", "{}")
    still.redis.zadd(READS.delayed, {"due": 1})
    clock.now += 9.9
    assert ids(consumer, 1) == [None]
    assert READS.delayed in still.all(), "what falls due is pushed to the list"
    clock.now += 0.2
    ids(consumer, 1)
    assert READS.delayed not in still.all()
    # What is pushed is fetched, and wakes who waits for the list.
    push(still, "a")
    assert "a" in ids(consumer, 2)


def test_a_queue_that_cannot_be_waited_for_is_asked_at_once_and_told(
    still: StillClock, home: Any, consumer: DurableConsumer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise AWAY

    consumer._waiter.execute_command = away  # type: ignore[assignment]
    assert ids(consumer, 1) == [None]
    assert clock.slept == [0.7]
    assert home.link.told[-1] == ("lost", "wait-reads")
    push(still, "a")
    consumer._waiter.execute_command = still.redis.execute_command  # type: ignore[assignment]
    assert ids(consumer, 1) == ["a"]
    # Whether it can be waited for again is found out in a busy queue, too.
    assert ("answered", "wait-reads") in home.link.told


def test_no_more_is_taken_than_there_is_room_for(
    still: StillClock, home: Any, consumer: DurableConsumer
) -> None:
    push(still, *(f"m{number}" for number in range(15)))
    taken = ids(consumer, 11)
    assert taken[:10] == [f"m{number}" for number in range(10)]
    assert taken[10] is None
    assert len(still.all()[READS.ready]) == 5


def test_a_message_that_a_middleware_failed_is_set_aside(
    still: StillClock, home: Any, consumer: DurableConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(still, "a")
    message = next(consumer)
    assert message is not None
    with monkeypatch.context() as away:
        away.setattr(consumer._hands, "set_aside", lambda *_: (_ for _ in ()).throw(AWAY))
        with pytest.raises(ConnectionClosed):
            consumer.nack(message)
    assert consumer.outstanding_message_count == 1
    assert home.link.told[-1] == ("lost", "nack-reads")
    consumer.nack(message)
    assert json.loads(still.all()[READS.dead_reasons]["a"])["reason"] == "a middleware refused the message"
    assert (consumer.outstanding_message_count, home.link.told[-1]) == (0, ("answered", "nack-reads"))
    assert home.places.room("reads") == 10


def test_at_its_end_it_hands_back_all_that_it_has(
    still: StillClock, home: Any, consumer: DurableConsumer
) -> None:
    push(still, "a", "b")
    ids(consumer, 1)
    with capture_logs() as lines:
        consumer.close()
    assert (still.all()[READS.ready], lines) == (["a", "b"], [])


@pytest.mark.parametrize("draining", [True, False])
def test_where_redis_is_away_at_its_end_that_is_told(
    still: StillClock,
    home: Any,
    consumer: DurableConsumer,
    monkeypatch: pytest.MonkeyPatch,
    *,
    draining: bool,
) -> None:
    push(still, "a", "b")
    ids(consumer, 1)
    if draining:
        home.draining.set()
    monkeypatch.setattr(consumer._hands, "give_back_all", lambda: (_ for _ in ()).throw(AWAY))
    with capture_logs() as lines:
        consumer.close()
    assert home.deserted.is_set() is draining
    assert [(line["event"], line["queue"], line["messages"]) for line in lines] == [
        ("queue.not_handed_back", "reads", 2)
    ]
    assert ("lost", "fetch-reads") in home.link.told


def test_where_redis_went_away_nobody_asks_it_again(
    still: StillClock, home: Any, consumer: DurableConsumer
) -> None:
    push(still, "a")
    ids(consumer, 1)
    home.deserted.set()
    consumer.close()
    assert READS.ready not in still.all()
