"""If Redis forgot something that it had confirmed, that is reported; if it was only away, it is not."""

from __future__ import annotations

import json
import shutil
import urllib.request
from pathlib import Path

import pytest

from config import Settings
from tests.harness import House, RunningWorker, wait_for
from workers.metrics import exposition


def beats(house: House, number: int) -> None:
    """Wait until each worker has written ``number`` more heartbeats."""
    names = wait_for(lambda: list(house.redis.scan_iter("coupontools:memory:*")), what="the first heartbeats")
    before = [int(house.redis.get(name)) for name in names]
    wait_for(
        lambda: all(int(house.redis.get(name)) >= n + number for name, n in zip(names, before, strict=True)),
        what="heartbeats",
        show=house.log_tail,
    )


def wait_forgot(house: House, worker: RunningWorker) -> None:
    wait_for(lambda: worker.log_lines("redis.forgot"), what="redis.forgot", show=house.log_tail)


def redis_told(house: House) -> dict:
    return json.loads(house.run("status", "--json").stdout)["redis"]


def test_an_emptied_redis_is_told_of_once(
    house: House, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # If both notice it within a silence, it is one loss. On a busy machine one of them may be a second or two late.
    worker = house.worker(WORKER_HEARTBEAT_SECONDS=4, WORKER_PROCESSES=2)
    wait_for(lambda: len(list(house.redis.scan_iter("coupontools:memory:*"))) == 2, what="both workers")
    assert redis_told(house) == {"writable": True, "forgot_at": None, "warnings": []}
    house.redis.flushall()
    wait_for(lambda: len(worker.log_lines("redis.forgot")) == 2, what="redis.forgot", show=house.log_tail)
    told = redis_told(house)
    assert told["forgot_at"] is not None
    assert told["warnings"] == [
        f"Redis forgot something: seen at {told['forgot_at']}; jobs may be gone, or carried out twice"
    ]
    # The figures about Redis are in Redis, so any process may serve the page.
    monkeypatch.setenv("REDIS_URL", house.server.url)
    with (
        exposition(Settings(), closed_port),
        urllib.request.urlopen(f"http://127.0.0.1:{closed_port}/metrics", timeout=60) as page,
    ):
        metrics = page.read().decode()
    # Both workers saw the same loss, which counts once.
    assert "\ncoupontools_redis_forgot_total 1.0\n" in metrics
    assert "\ncoupontools_redis_writable 1.0\n" in metrics
    beats(house, 2)
    assert len(worker.log_lines("redis.forgot")) == 2
    house.answer(house.enqueue("list_groups", channel="sms"))


def test_an_old_copy_is_told_of_and_a_restart_is_not(fragile_house: House, tmp_path: Path) -> None:
    house = fragile_house
    worker = house.worker(WORKER_HEARTBEAT_SECONDS=1)
    beats(house, 2)
    house.server.kill()
    shutil.copytree(house.server.folder, tmp_path / "old")
    house.server.start()
    wait_for(lambda: worker.log_lines("redis.recovered"), what="redis.recovered", show=house.log_tail)
    beats(house, 3)
    assert worker.log_lines("redis.forgot") == []
    house.server.kill()
    shutil.copytree(tmp_path / "old", house.server.folder, dirs_exist_ok=True)
    house.server.start()
    wait_forgot(house, worker)


def test_what_may_be_forgotten_is_told_at_the_start(fragile_house: House) -> None:
    house = fragile_house
    house.redis.config_set("appendonly", "no")
    house.redis.config_set("maxmemory", "1gb")
    house.redis.config_set("maxmemory-policy", "allkeys-lru")
    worker = house.worker()
    told = [line["problem"] for line in worker.log_lines("redis.may_forget")]
    assert told == [
        "Redis evicts jobs when it is full: maxmemory-policy is allkeys-lru, set noeviction",
        "Redis forgets jobs when it is restarted: appendonly is no, set yes",
    ]
    assert redis_told(house)["warnings"] == told
