"""Redis is killed, frozen, filled, made read-only and made to forget its scripts: nothing is lost, and each outage is logged once."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.exceptions import BusyLoadingError, RedisError

from tests.harness import House, RunningWorker, message, wait_for
from tests.harness.ports import keep_closed

ADDED = "coupontools.contact.added"
SCALE = int(os.environ.get("CHAOS_SCALE", "1"))


def _stay(seconds: float) -> None:
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= end, seconds=seconds + 60, what="the end of the outage")


@contextmanager
def killed(house: House) -> Iterator[None]:
    house.server.kill()
    yield
    house.server.start()


@contextmanager
def frozen(house: House) -> Iterator[None]:
    process = house.server.process
    assert process
    process.send_signal(signal.SIGSTOP)
    yield
    process.send_signal(signal.SIGCONT)


@contextmanager
def filled(house: House) -> Iterator[None]:
    house.redis.config_set("maxmemory", 1)
    yield
    house.redis.config_set("maxmemory", 0)


@contextmanager
def loading(house: House) -> Iterator[None]:
    # While a server loads its file, it answers -LOADING after every thousand commands, which is here every second.
    with house.redis.pipeline(transaction=False) as pipeline:
        for number in range(5000):
            pipeline.set("filler", number)
        pipeline.execute()
    house.server.kill()
    house.server.launch("--key-load-delay", "1000")
    wait_for(lambda: _refused(house, BusyLoadingError), what="LOADING")
    yield
    house.server.wait_ready()


def _refused(house: House, kind: type[RedisError]) -> bool:
    try:
        house.redis.ping()
    except kind:
        return True
    except RedisError:
        return False
    return False


@contextmanager
def read_only(house: House) -> Iterator[None]:
    # Keep the port closed: if another Redis listened there, this one would replace its own data by that one's.
    with keep_closed() as port:
        house.redis.replicaof("127.0.0.1", port)
        yield
        house.redis.replicaof("NO", "ONE")


def _load(house: House, count: int) -> list[str]:
    """Enqueue jobs whose calls end while Redis is away, half of them with a failure, and jobs that are delayed; return their ids."""
    group = house.new_group()
    house.sandbox.faults("hang_before", endpoint="sms/addcontact", count=count // 2, seconds=1.5)
    house.sandbox.faults("slow", endpoint="sms/addcontact", count=count - count // 2, seconds=1.5)
    jobs: list[dict[str, Any]] = [
        {"channel": "sms", "group_id": group, "phone": f"+3247{number:07d}"} for number in range(2 * count)
    ]
    ids = house.enqueue_many("add_contact", jobs[:count])
    wait_for(lambda: len(house.sandbox.requests()) >= count, what="calls in flight", show=house.log_tail)
    ids += _delayed(house, jobs[count:], seconds=2.0)
    return ids


def _delayed(house: House, jobs: list[dict[str, Any]], seconds: float) -> list[str]:
    ids = []
    for arguments in jobs:
        queue, redis_id, body = message("add_contact", arguments, queue_name="contacts.DQ")
        body["options"]["eta"] = int((time.time() + seconds) * 1000)
        with house.redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(f"dramatiq:{queue}.DQ.msgs", redis_id, json.dumps(body))
            pipeline.rpush(f"dramatiq:{queue}.DQ", redis_id)
            pipeline.execute()
        ids.append(str(body["message_id"]))
    wait_for(lambda: house.redis.llen("dramatiq:contacts.DQ") == 0, what="delayed jobs moved")
    return ids


def _all_answered_once(house: House, ids: list[str]) -> None:
    answers = house.wait_answered(ids, seconds=120)
    assert all(len(events) == 1 for events in answers.values())
    failed = [event for events in answers.values() for event in events if event["type"] != ADDED]
    assert not failed, failed[:2]
    wait_for(
        lambda: house.redis.hlen("dramatiq:contacts.msgs") == 0, what="nothing left over", show=house.log_tail
    )
    assert house.counts()["surplus_contacts"] == 0
    assert house.tally()["message.rejected"] == 0


def _told_once(worker: RunningWorker, processes: int, outages: int = 1) -> None:
    wait_for(
        lambda: len(worker.log_lines("redis.recovered")) >= processes * outages,
        what="redis.recovered",
        show=lambda: worker.log_text[-3000:],
    )
    told = [line for line in worker.log_lines() if line["event"].startswith("redis.")]
    assert len(worker.log_lines("redis.unavailable")) == processes * outages, told
    assert len(worker.log_lines("redis.recovered")) == processes * outages, told
    # Dramatiq's own consumers would die here, restart, and print their tracebacks.
    assert not [line for line in worker.log_lines() if "unexpected error" in line["event"]]
    assert not worker.log_lines("caretaker.fault")
    assert not worker.log_lines("worker.died")


@pytest.mark.parametrize(
    "outage",
    [killed, filled, *(pytest.param(each, marks=pytest.mark.chaos) for each in (loading, read_only))],
)
def test_redis_away_while_jobs_must_be_retried_and_delayed_ones_wait(
    fragile_house: House, outage: Any
) -> None:
    house = fragile_house
    worker = house.worker("--concurrency", "16", WORKER_PROCESSES=2)
    ids = _load(house, 10)
    with outage(house):
        wait_for(
            lambda: len(worker.log_lines("redis.unavailable")) >= 2,
            what="redis.unavailable in both processes",
        )
        _stay(3.0)
    _all_answered_once(house, ids)
    _told_once(worker, 2)
    assert worker.terminate() == 0


def test_a_frozen_redis_costs_nothing_and_nobody_is_called_dead(fragile_house: House) -> None:
    house = fragile_house
    worker = house.worker("--concurrency", "16", WORKER_PROCESSES=2, WORKER_HEARTBEAT_SECONDS=2)
    ids = _load(house, 8)
    with frozen(house):
        # An answer may take five seconds; only after that does Redis count as away.
        wait_for(
            lambda: len(worker.log_lines("redis.unavailable")) >= 2,
            what="redis.unavailable in both processes",
        )
        _stay(1.0)
    _all_answered_once(house, ids)
    _told_once(worker, 2)
    # Scripts that were sent to the frozen Redis run when it wakes, when every heartbeat is old.
    assert not worker.log_lines("worker.taken_over")
    assert worker.terminate() == 0


def test_a_redis_that_forgot_its_scripts_is_told_them_again(fragile_house: House) -> None:
    house = fragile_house
    worker = house.worker("--concurrency", "4")
    group = house.new_group()
    ids = house.enqueue_many(
        "add_contact",
        [{"channel": "sms", "group_id": group, "phone": f"+3247{number:07d}"} for number in range(100)],
    )

    def flush_until_answered() -> bool:
        house.redis.script_flush()
        return house.redis.xlen("coupontools:events") >= 100

    wait_for(flush_until_answered, seconds=60, what="100 answers", show=house.log_tail)
    _all_answered_once(house, ids)
    assert not worker.log_lines("redis.unavailable")


@pytest.mark.chaos
@pytest.mark.parametrize("outage", [killed, frozen, filled, read_only])
def test_outages_again_and_again_under_load(fragile_house: House, outage: Any) -> None:
    house = fragile_house
    group = house.new_group()
    house.sandbox.settings(latency_ms=50)
    house.sandbox.faults("mixed", kinds=["bad_gateway", "reset", "cut_off"], probability=0.2, seed=3)
    worker = house.worker("--concurrency", "16", WORKER_PROCESSES=2)
    ids: list[str] = []
    for turn in range(2 * SCALE):
        jobs = [
            {"channel": "sms", "group_id": group, "phone": f"+3247{turn:03d}{number:04d}"}
            for number in range(300)
        ]
        ids += house.enqueue_many("add_contact", jobs)
        answered = house.redis.xlen("coupontools:events")
        wait_for(
            lambda before=answered: house.redis.xlen("coupontools:events") > before + 30, what="some answers"
        )
        with outage(house):
            _stay(7.0)
    _all_answered_once(house, ids)
    print(f"{outage.__name__}: {len(ids)} jobs over {2 * SCALE} outages, each answered once")  # noqa: T201
    assert not worker.log_lines("worker.died")
