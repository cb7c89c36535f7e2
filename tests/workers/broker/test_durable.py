"""The broker as producers and a worker's threads use it: what it enqueues, counts and drops, and its state before the loop runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Middleware

from config.keys import Keys
from tests.harness.still_clock import StillClock
from workers.broker import DurableBroker
from workers.broker import durable as its_module

KEYS = Keys()
READS = KEYS.queue("reads")


@pytest.fixture
def broker(still: StillClock, make_broker: Callable[[str], DurableBroker]) -> DurableBroker:
    port = still.redis.connection_pool.connection_kwargs["port"]
    return make_broker(f"redis://127.0.0.1:{port}/0")


class Noted(Middleware):
    """Notes what the broker tells its middleware."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def before_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        self.told.append(("before enqueue", message.queue_name, delay, broker.client.llen(READS.ready)))

    def after_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        self.told.append(("after enqueue", message.queue_name, delay, broker.client.llen(READS.ready)))

    def before_declare_queue(self, broker: Any, queue_name: str) -> None:
        self.told.append(("before declare", queue_name, queue_name in broker.queues))

    def after_declare_queue(self, broker: Any, queue_name: str) -> None:
        self.told.append(("after declare", queue_name, queue_name in broker.queues))


@pytest.fixture
def noted(broker: DurableBroker) -> Noted:
    noted = Noted()
    broker.add_middleware(noted)
    # Forget what the broker told about queues that were declared before.
    noted.told.clear()
    return noted


def test_before_its_loop_runs_a_worker_is_neither_stuck_nor_full_nor_benched(broker: DurableBroker) -> None:
    assert broker.loop_turns() is True
    assert broker.where_loop_is() == ""
    assert broker.gate.is_benched is False
    assert broker.gate.shares.full_since is None
    assert not any(broker.gate.shares.in_flight().values())
    assert (broker.about, broker.refused) == (b"{}", "")
    assert broker.heartbeat_timeout == 15_000


def test_a_pause_in_a_process_that_nobody_stops_is_waited_through(broker: DurableBroker) -> None:
    began = time.monotonic()
    assert broker.pause(0.05) is False
    assert time.monotonic() - began >= 0.05


def test_a_message_is_enqueued_at_once_and_told_before_and_after(
    still: StillClock, broker: DurableBroker, noted: Noted
) -> None:
    message = broker.get_actor("list_groups").send(channel="sms")
    found = still.all()
    [entry_id] = found[READS.ready]
    body = json.loads(found[READS.bodies][entry_id])
    assert (body["message_id"], body["queue_name"]) == (message.message_id, "reads")
    assert body["options"] == {"redis_message_id": entry_id}
    assert READS.delayed not in found
    assert noted.told == [("before enqueue", "reads", None, 0), ("after enqueue", "reads", None, 1)]


def test_a_delayed_message_waits_in_redis_until_it_is_due(
    still: StillClock, broker: DurableBroker, noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(its_module, "current_millis", lambda: 5000)
    broker.get_actor("list_groups").send_with_options(kwargs={"channel": "sms"}, delay=700)
    found = still.all()
    [(entry_id, due)] = found[READS.delayed].items()
    body = json.loads(found[READS.bodies][entry_id])
    assert (due, body["options"]["eta"], body["queue_name"]) == (5700, 5700, "reads.DQ")
    assert READS.ready not in found
    assert [told[:3] for told in noted.told] == [
        ("before enqueue", "reads.DQ", 700),
        ("after enqueue", "reads.DQ", 700),
    ]


@pytest.mark.parametrize(("failures", "raises"), [(0, False), (2, False), (3, True)])
def test_an_enqueue_whose_answer_is_lost_is_asked_three_times_in_all(
    still: StillClock, broker: DurableBroker, monkeypatch: pytest.MonkeyPatch, failures: int, *, raises: bool
) -> None:
    lost = iter([redis.ConnectionError("away")] * failures)
    run, slept, told = broker._runner.run, [], []

    def runs(*given: Any) -> Any:
        if error := next(lost, None):
            raise error
        return run(*given)

    monkeypatch.setattr(broker._runner, "run", runs)
    monkeypatch.setattr("workers.broker.durable.time.sleep", slept.append)
    monkeypatch.setattr(broker.link, "lost", lambda who, *_: told.append(("lost", who)) or 0.7)
    monkeypatch.setattr(broker.link, "answered", lambda who: told.append(("answered", who)))
    actor = broker.get_actor("list_groups")
    if raises:
        with pytest.raises(ConnectionClosed):
            actor.send(channel="sms")
    else:
        actor.send(channel="sms")
        assert still.redis.llen(READS.ready) == 1
    # After the last failure there is nothing to wait for.
    assert slept == [0.7] * min(failures, 2)
    assert told == [("lost", "enqueue")] * failures + [("answered", "enqueue")] * (not raises)


def test_an_enqueue_that_is_wrong_is_a_fault_and_is_not_repeated(
    still: StillClock, broker: DurableBroker
) -> None:
    still.redis.set(READS.ready, "no list")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        broker.get_actor("list_groups").send(channel="sms")


def test_a_queue_is_declared_once(broker: DurableBroker, noted: Noted) -> None:
    for _ in range(2):
        broker.declare_queue("groups")
    assert noted.told == [("before declare", "groups", False), ("after declare", "groups", True)]
    # Delayed messages wait in Redis, so there is no delay queue to consume.
    assert broker.get_declared_queues() == {"reads", "groups"}
    assert broker.get_declared_delay_queues() == set()


def test_an_actor_has_its_queue_and_those_that_it_names_beside(broker: DurableBroker) -> None:
    dramatiq.actor(lambda: None, actor_name="add", queue_name="contacts", also=("bulk",), broker=broker)
    assert broker.homes == {"list_groups": ("reads",), "add": ("contacts", "bulk")}


@pytest.mark.parametrize(("given", "seconds"), [({}, 1.0), ({"timeout": 500}, 0.5), ({"timeout": 3000}, 1.0)])
def test_a_consumer_asks_again_after_a_second_at_most(
    broker: DurableBroker, given: dict[str, int], seconds: float
) -> None:
    consumer = broker.consume("reads", **given)
    assert (type(consumer), consumer._timeout) == (broker.consumer_class, seconds)
    consumer.close()


def test_each_epoch_is_larger_than_those_before(broker: DurableBroker) -> None:
    numbers = [next(broker.epochs) for _ in range(3)]
    assert numbers == sorted(set(numbers))


def test_what_is_not_answered_is_counted_wherever_it_waits(still: StillClock, broker: DurableBroker) -> None:
    still.redis.hset(READS.bodies, mapping={"a": "{}", "b": "{}", "c": "{}"})
    still.redis.hset(READS.stock_delayed_bodies, "d", "{}")
    assert broker.do_qsize("reads") == 4


def test_a_queue_that_is_dropped_leaves_nothing_and_takes_nothing_else(
    still: StillClock, broker: DurableBroker
) -> None:
    def keys(queue: str) -> set[str]:
        its = KEYS.queue(queue)
        return {
            its.ready, its.bodies, its.delayed, its.stock_delayed, its.stock_delayed_bodies, its.dead, its.dead_bodies,
            its.dead_reasons, its.deaths, KEYS.acks(broker.broker_id, queue),
        }  # fmt: skip

    for key in (*keys("reads"), *keys("bulk")):
        still.redis.set(key, "something")
    broker.flush("reads")
    assert still.all().keys() == keys("bulk")


def test_a_closed_broker_holds_no_connection(broker: DurableBroker) -> None:
    broker.client.ping()
    broker.close()
    assert not any(
        connection.is_connected for connection in broker.client.connection_pool._available_connections
    )
