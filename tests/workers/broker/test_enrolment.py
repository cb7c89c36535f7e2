"""A worker takes no job before it is sure that the key names, the account and the Redis are its own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.harness import House, RunningWorker, wait_for
from workers.embedded import EmbeddedRedis, free_port


def refused(worker: RunningWorker) -> str:
    """Return the reason that a worker logs, once, when it may not start."""
    assert worker.process.wait(timeout=240) == 2, worker.log_text[-3000:]
    assert worker.log_lines("worker.started") == []
    (line,) = worker.log_lines("worker.refused")
    return str(line["reason"])


def ten_groups(house: House) -> list[str]:
    return [house.enqueue("create_group", channel="sms", name=f"Group {n}") for n in range(10)]


def test_a_second_pair_that_shares_a_name_is_refused(house: House) -> None:
    """Otherwise each would move, take over and answer the other's jobs, and delayed jobs would be lost."""
    first = house.worker()
    for name, key in (
        ("KEY_PREFIX", "dramatiq:__prefix__ names dramatiq and coupontools"),
        ("BROKER_NAMESPACE", "coupontools:namespace names dramatiq and coupontools"),
    ):
        reason = refused(house.worker(wait=False, **{name: "second"}))
        assert reason.startswith("BROKER_NAMESPACE, KEY_PREFIX: ")
        assert key in reason
    assert len(house.wait_answered(ten_groups(house))) == 10
    assert first.terminate() == 0
    # No worker is alive and no work waits, so the names may go to another pair.
    second = house.worker(KEY_PREFIX="second")
    assert refused(house.worker(wait=False)).startswith("BROKER_NAMESPACE, KEY_PREFIX: ")
    assert second.terminate() == 0


def test_work_that_waits_keeps_its_pair(house: House) -> None:
    assert house.worker().terminate() == 0
    ids = ten_groups(house)
    assert "where a worker lives or work waits" in refused(house.worker(wait=False, KEY_PREFIX="second"))
    house.worker()
    assert len(house.wait_answered(ids)) == 10


def test_two_pairs_side_by_side_answer_on_a_stream_each(house: House) -> None:
    house.worker()
    house.worker(KEY_PREFIX="second", BROKER_NAMESPACE="other")
    house.answer(house.enqueue("list_groups", channel="sms"))
    body = {
        "queue_name": "reads",
        "actor_name": "list_groups",
        "args": [],
        "kwargs": {"channel": "sms"},
        "options": {"redis_message_id": "one"},
        "message_id": "m-1",
        "message_timestamp": round(time.time() * 1000),
    }
    house.redis.hset("other:reads.msgs", "one", json.dumps(body))
    house.redis.rpush("other:reads", "one")
    wait_for(lambda: house.redis.xlen("second:events") == 1, what="its answer", show=house.log_tail)
    assert len(house.events()) == 1


def test_a_worker_of_another_account_is_refused_while_one_lives(house: House) -> None:
    """Otherwise a staging worker beside the production one would take its jobs."""
    first = house.worker()
    staging: dict[str, Any] = {"COUPONTOOLS_CLIENT_ID": "staging"}
    reason = refused(house.worker(wait=False, **staging))
    assert reason.startswith("COUPONTOOLS_BASE_URL, COUPONTOOLS_CLIENT_ID: worker ")
    assert "the key coupontools:workers" in reason
    assert len(house.wait_answered(ten_groups(house))) == 10
    assert first.terminate() == 0
    assert house.worker(**staging).terminate() == 0


def test_a_worker_whose_names_went_to_others_stops(house: House) -> None:
    worker = house.worker(WORKER_HEARTBEAT_SECONDS=1)
    house.redis.zadd("dramatiq:__heartbeats__", {"other": time.time() * 1000 + 60_000})
    house.redis.hset("second:workers", "other", json.dumps({"silence_ms": 60_000}))
    house.redis.set("dramatiq:__prefix__", "second")
    assert worker.process.wait(timeout=240) == 2
    assert len(worker.log_lines("worker.refused")) == len(worker.log_lines("worker.stopped")) == 1


def test_a_redis_cluster_is_refused(house: House) -> None:
    # In cluster mode, Redis also takes the port 10,000 higher.
    port = next(port for port in iter(free_port, 0) if port <= 55_535)
    with EmbeddedRedis("--cluster-enabled", "yes", port=port) as cluster:
        reason = refused(house.worker(wait=False, REDIS_URL=cluster.url))
    assert reason.startswith("REDIS_URL: this Redis runs in cluster mode, which is not supported")


def test_a_worker_waits_for_redis_before_it_takes_jobs_and_can_be_told_to_stop(
    fragile_house: House, tmp_path: Path
) -> None:
    house = fragile_house
    house.server.kill()
    # Long enough that a busy machine does not look like a process that stands still.
    worker = house.worker(wait=False, STATE_DIR=tmp_path, WORKER_HEARTBEAT_SECONDS=20)
    wait_for(lambda: bool(worker.log_lines("redis.unavailable")), what="its complaint")
    # An unreachable Redis is no reason to restart the worker.
    assert house.run("check", "--live", STATE_DIR=tmp_path).returncode == 0
    assert worker.terminate() == 0
    assert list(tmp_path.iterdir()) == []
    waiting = house.worker(wait=False)
    wait_for(lambda: bool(waiting.log_lines("redis.unavailable")), what="its complaint")
    house.server.start()
    waiting.wait_started()
    house.answer(house.enqueue("list_groups", channel="sms"))


def test_a_form_that_this_release_cannot_read_is_refused(house: House) -> None:
    house.redis.set("coupontools:format", 4)
    reason = refused(house.worker(wait=False))
    assert reason == (
        "KEY_PREFIX: what is stored has form 4, as the key coupontools:format says; this release reads 1 to 3"
    )
    house.redis.delete("coupontools:format")
    worker = house.worker(WORKER_HEARTBEAT_SECONDS=1)
    assert house.redis.get("coupontools:format") == b"3"
    house.redis.set("coupontools:format", 4)
    assert worker.process.wait(timeout=240) == 2
    (line,) = worker.log_lines("worker.refused")
    assert line["reason"] == reason


def test_the_form_rises_when_every_living_worker_reads_it(house: House) -> None:
    now = time.time() * 1000
    house.redis.zadd("dramatiq:__heartbeats__", {"old": now, "dead": now - 60_000})
    house.redis.hset("coupontools:workers", "old", json.dumps({"silence_ms": 3_600_000}))
    house.redis.hset("coupontools:workers", "dead", json.dumps({"silence_ms": 1_000}))
    house.worker(WORKER_HEARTBEAT_SECONDS=1)
    memory = "coupontools:memory:*"
    wait_for(
        lambda: [int(house.redis.get(key)) for key in house.redis.scan_iter(memory)] >= [3], what="beats"
    )
    assert house.redis.get("coupontools:format") is None
    house.redis.hset("coupontools:workers", "old", json.dumps({"silence_ms": 3_600_000, "reads": [1, 2, 3]}))
    wait_for(lambda: house.redis.get("coupontools:format") == b"3", what="the new form")
