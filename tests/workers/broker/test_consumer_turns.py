"""One turn of a queue's consumer: what it asks Redis for, when it waits, and what it does when Redis is away."""

from __future__ import annotations

import itertools
import json
import threading
from types import SimpleNamespace
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.errors import ConnectionClosed
from structlog.testing import capture_logs

from config.keys import Keys
from tests.harness.still_clock import StillClock
from workers.broker import consumer as its_module
from workers.broker.consumer import DurableConsumer
from workers.broker.entries import DurableMessage
from workers.broker.places import Places

KEYS = Keys()
READS = KEYS.queue("reads")
ACKS = KEYS.acks("w1", "reads")
AWAY = redis.ConnectionError("away")


class Clock:
    """Stands in for the module ``time``: a sleep returns at once, but the time passes."""

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
        epochs=itertools.count(1),
        on_set_aside=lambda _: None,
        gate=SimpleNamespace(is_benched=False),
        draining=threading.Event(),
        deserted=threading.Event(),
    )


@pytest.fixture
def consumer(home: Any, clock: Clock) -> DurableConsumer:
    # Redis 6.2 takes a time limit of one millisecond for none at all.
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
    # When the actor returns, the job is not answered yet.
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
    home.gate.is_benched = True
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
    # A message that is pushed wakes the worker that waits for the list, and is fetched.
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
    # A worker with a busy queue, too, finds out that it can wait for the list again.
    assert ("answered", "wait-reads") in home.link.told


def test_no_more_is_taken_than_there_is_room_for(
    still: StillClock, home: Any, consumer: DurableConsumer
) -> None:
    push(still, *(f"m{number}" for number in range(11)))
    taken = ids(consumer, 7)
    assert taken[:6] == [f"m{number}" for number in range(6)]
    assert taken[6] is None
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
    assert json.loads(still.all()[READS.dead_reasons]["a"])["message"] == "a middleware refused the message"
    assert (consumer.outstanding_message_count, home.link.told[-1]) == (0, ("answered", "nack-reads"))
    assert home.places.room("reads") == 6


def test_what_a_fetch_asks_for(home: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a fetch runs, Redis serves nobody else, so its messages and bytes are bounded."""
    for concurrency, most in ((1000, 256), (40, 40)):
        home.places = Places(concurrency)
        consumer = DurableConsumer(home, "bulk", timeout=0.005)
        given: list[list[Any]] = []
        monkeypatch.setattr(
            consumer._runner,
            "run",
            lambda _, keys, args, given=given: given.append([keys, args]) or [b"7", 3, 0],
        )
        assert consumer._fetch(consumer._wait_for_room()) == (7, False, [])
        [[keys, args]] = given
        bulk = KEYS.queue("bulk")
        assert keys == [
            bulk.ready,
            bulk.bodies,
            KEYS.acks("w1", "bulk"),
            bulk.delayed,
            bulk.forward,
            KEYS.epoch("w1", "bulk"),
            KEYS.heartbeats,
            KEYS.workers,
            bulk.deaths,
            KEYS.suspects,
            KEYS.acks("w1", "bulk"),
            KEYS.acks("w1", "reads"),
        ]
        assert args == [most, 8 * 1024 * 1024, 1024 * 1024, consumer._hands.epoch, "w1", b"{}", "bulk", 5, 3]
        assert consumer._waiting == 3


def test_what_was_fetched_is_read_in_threes(
    consumer: DurableConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = [b"7", 3, 1, b"a", b"{}", b"0", b"b", 99, b"2"]
    monkeypatch.setattr(consumer._runner, "run", lambda *_: answer)
    assert consumer._fetch(2) == (7, True, [(b"a", b"{}", 0), (b"b", 99, 2)])


@pytest.mark.parametrize(
    ("waiting", "taken", "has", "slept", "room"),
    [
        # There is enough room at once, or none at all.
        (0, 32, True, 0, 8),
        (0, 40, True, 0, 0),
        # The room is not worth a fetch: wait a moment, in which more jobs may end.
        (0, 33, True, 1, 7),
        (0, 39, True, 1, 1),
        # While spare messages are in hand, wait a few moments.
        (40, 51, True, 4, 9),
        (40, 50, True, 0, 10),
        # Nothing is in hand that could end.
        (0, 39, False, 0, 1),
    ],
)
def test_little_room_is_waited_for_a_moment_rather_than_fetched_for_one_by_one(
    home: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, waiting: int, taken: int, slept: int, room: int,
    *, has: bool,
) -> None:  # fmt: skip
    consumer = DurableConsumer(home, "bulk", timeout=0.005)
    consumer._waiting = waiting
    monkeypatch.setattr(type(consumer._hands), "__len__", lambda _: int(has))
    for _ in range(taken - 4):
        home.places.take("contacts")
    for _ in range(4):
        home.places.take("bulk")
    assert consumer._wait_for_room() == room
    assert clock.slept == [0.005] * slept


def test_room_that_comes_meanwhile_is_used(home: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = DurableConsumer(home, "bulk", timeout=0.005)
    consumer._waiting = 40
    monkeypatch.setattr(type(consumer._hands), "__len__", lambda _: 1)
    for _ in range(55):
        home.places.take("bulk")

    def sleep(seconds: float) -> None:
        clock.slept.append(seconds)
        for _ in range(3):
            home.places.leave("bulk")

    monkeypatch.setattr(clock, "sleep", sleep)
    assert consumer._wait_for_room() == 11
    assert len(clock.slept) == 2


class Event:
    """A threading.Event whose ``wait`` returns at once."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.is_it = False

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return self.is_it

    def is_set(self) -> bool:
        return self.is_it


def test_a_worker_that_may_take_nothing_rests_between_looks(
    still: StillClock, home: Any, clock: Clock, consumer: DurableConsumer
) -> None:
    """Otherwise it would look without a pause, since Dramatiq asks again at once."""
    home.draining = consumer._broker.draining = Event()
    home.gate.is_benched = True
    ids(consumer, 1)
    assert home.draining.waited == [its_module.BENCHED_SECONDS]
    home.draining.waited.clear()
    home.draining.is_it = True
    ids(consumer, 2)
    assert home.draining.waited == [0.05] * 2
    assert clock.slept == [0.02] * 2
    assert home.link.told == [("retire", "fetch-reads"), ("retire", "wait-reads")] * 2


def test_a_worker_that_keeps_itself_free_for_one_message_looks_again_soon(
    still: StillClock, home: Any, consumer: DurableConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.draining = Event()
    waits: list[float] = []
    monkeypatch.setattr(consumer, "_wait_for_messages", waits.append)
    monkeypatch.setattr(consumer._runner, "run", lambda *_: [b"7", 0, 1])
    monkeypatch.setattr(consumer._hands, "give_back_others", lambda: 0)
    assert ids(consumer, 2) == [None, None]
    assert (home.draining.waited, waits) == ([its_module.ALONE_SECONDS] * 2, [])


def test_in_a_busy_queue_nobody_waits_for_messages(
    still: StillClock, home: Any, consumer: DurableConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(consumer, "_wait_for_messages", waits.append)
    push(still, "a")
    assert ids(consumer, 1) == ["a"]
    assert waits == []
    # It waits only to find out whether it can wait again.
    consumer._cannot_wait = True
    push(still, "b")
    assert ids(consumer, 1) == ["b"]
    assert waits == [its_module.MOMENT_SECONDS]


def test_after_a_failover_the_connections_that_lead_to_a_replica_are_left(
    still: StillClock, home: Any, consumer: DurableConsumer
) -> None:
    left: list[Any] = []
    waiter: Any = consumer._waiter
    waiter.connection_pool = SimpleNamespace(disconnect=lambda **how: left.append(how))
    for error in (AWAY, redis.exceptions.ReadOnlyError("READONLY")):

        def fails(*_: Any, error: Exception = error) -> None:
            raise error

        waiter.execute_command = fails
        consumer._quiet_until = 99e9
        consumer._wait_for_messages(1.0)
        assert (consumer._cannot_wait, consumer._quiet_until) == (True, 0.0)
    # Connections in use belong to other threads, and stay open.
    assert left == [{"inuse_connections": False}]


def test_what_is_put_in_order_is_told_as_served_only_where_nothing_can_be_fetched(
    still: StillClock, home: Any, consumer: DurableConsumer
) -> None:
    """A full Redis answers reads but refuses a fetch, so only a fetch shows that it serves again."""
    home.link.told.clear()
    consumer._reconcile()
    assert home.link.told == []
    for _ in range(10):
        home.places.take("reads")
    home.link.losses += 1
    consumer._quiet_until = 99e9
    with capture_logs() as lines:
        consumer._reconcile()
    assert (home.link.told, consumer._quiet_until, lines) == ([("answered", "fetch-reads")], 0.0, [])
    home.link.told.clear()
    consumer._quiet_until = 5.0
    consumer._reconcile()
    assert (home.link.told, consumer._quiet_until) == ([], 5.0), "nothing was lost since"


@pytest.mark.parametrize("is_ours", [True, False])
def test_only_what_was_fetched_here_is_set_aside(
    still: StillClock, home: Any, consumer: DurableConsumer, *, is_ours: bool
) -> None:
    push(still, "a")
    message: Any = next(consumer)
    consumer.nack(message if is_ours else dramatiq.MessageProxy(message._message))
    assert (READS.dead in still.all()) is is_ours


def test_a_fault_at_its_end_is_no_outage(consumer: DurableConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise redis.ResponseError("WRONGTYPE")

    for what in ("give_back_all", "set_aside"):
        monkeypatch.setattr(consumer._hands, what, fails)
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        consumer.close()
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        consumer.nack(DurableMessage(dramatiq.Message("reads", "x", (), {}, {}), SimpleNamespace(id="a")))  # type: ignore[arg-type]


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
