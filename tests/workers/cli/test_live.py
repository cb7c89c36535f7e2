"""`check --live`: whether this host's processes are alive and turn, whatever Redis does, and at a price that a probe may have."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config import load_settings
from config.few_settings import FEW, few_settings
from tests.harness import House, wait_for
from workers.beats import Beat, beats_folder, living


def live(house: House, folder: Path, **settings: object) -> tuple[int, str]:
    done = house.run("check", "--live", STATE_DIR=folder, **settings)
    return done.returncode, done.stdout + done.stderr


def test_a_worker_lives_until_it_ends(house: House, tmp_path: Path):
    code, told = live(house, tmp_path)
    assert code == 1
    assert told.startswith("no worker process of this Redis and these key names runs here")
    worker = house.worker(WORKER_PROCESSES=2, STATE_DIR=tmp_path)
    wait_for(lambda: live(house, tmp_path) == (0, "alive: 2 worker processes turn\n"), what="two beats")
    # Of another Redis, another pair of names, or another folder none is here.
    assert live(house, tmp_path, REDIS_URL="redis://127.0.0.1:1/0")[0] == 1
    assert live(house, tmp_path, KEY_PREFIX="other")[0] == 1
    assert live(house, tmp_path, BROKER_NAMESPACE="other")[0] == 1
    assert live(house, tmp_path / "other")[0] == 1
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    assert worker.terminate() == 0
    assert live(house, tmp_path)[0] == 1
    assert list(tmp_path.iterdir()) == []


def test_redis_away_is_no_death(fragile_house: House, tmp_path: Path):
    # Long enough that a busy machine does not look like a dead one.
    fragile_house.worker(STATE_DIR=tmp_path, WORKER_HEARTBEAT_SECONDS=20)
    wait_for(lambda: live(fragile_house, tmp_path)[0] == 0, what="a beat")
    fragile_house.server.kill()
    assert fragile_house.run("check", STATE_DIR=tmp_path).returncode == 1
    assert live(fragile_house, tmp_path)[0] == 0


def test_a_process_that_ends_no_job_lives_but_is_not_ready(house: House, tmp_path: Path):
    names = {"broker_namespace": "dramatiq", "key_prefix": "coupontools"}
    beat = Beat(beats_folder(state_dir=str(tmp_path), redis_url=house.server.url, **names))
    beat.beat(60, standing=400)
    try:
        assert live(house, tmp_path)[0] == 0
        told = f"worker process {os.getpid()} has ended no job for 400 s, and all its places are taken"
        assert told in house.run("check", STATE_DIR=tmp_path).stderr
    finally:
        beat.end()


def test_a_beat_is_believed_from_the_moment_it_is_written(tmp_path: Path):
    beat = Beat(tmp_path)
    try:
        for _ in range(100):
            beat.beat(60)
            (process,) = living(tmp_path)
            assert process.turns, process
    finally:
        beat.end()


def test_a_look_at_the_moment_of_the_first_beat_is_no_fault_of_the_folder(tmp_path: Path):
    """A probe, or the start of another process, looks whether the file is locked; its worker warned that it could not be written."""
    beat = Beat(tmp_path)
    try:
        with (tmp_path / f"{os.getpid()}.beat").open("wb") as looked_at:
            fcntl.flock(looked_at, fcntl.LOCK_SH)
            beat.beat(60)
            assert list(living(tmp_path)) == []
        beat.beat(60)
        assert [process.pid for process in living(tmp_path)] == [os.getpid()]
    finally:
        beat.end()


def test_a_folder_that_another_process_removes_just_now_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """The last process that ends removes the folder, and another one, which had just made it, warned that it could not be written."""
    beat = Beat(tmp_path / "workers" / "of a Redis")
    try:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "mkdir", lambda *_, **__: None)
            beat.beat(60)
        beat.beat(60)
        (process,) = living(tmp_path / "workers" / "of a Redis")
        assert process.turns
    finally:
        beat.end()


def test_a_frozen_process_is_named_and_a_killed_one_forgotten(house: House, tmp_path: Path):
    worker = house.worker(WORKER_HEARTBEAT_SECONDS=3, WORKER_PROCESSES=2, STATE_DIR=tmp_path)
    # Both: one that is frozen before its first beat is known to its supervisor alone.
    wait_for(lambda: live(house, tmp_path) == (0, "alive: 2 worker processes turn\n"), what="two beats")
    frozen, other = worker.children()
    # Its supervisor would replace it while this test still asks.
    os.kill(worker.process.pid, signal.SIGSTOP)
    os.kill(frozen, signal.SIGSTOP)
    try:
        silence = f"worker process {frozen} has not turned for"
        wait_for(lambda: silence in live(house, tmp_path)[1], what="the silence")
        told = house.run("check", "--live", "--json", STATE_DIR=tmp_path)
        assert (told.returncode, json.loads(told.stdout)["healthy"]) == (1, False)
        assert silence in house.run("check", STATE_DIR=tmp_path).stderr
    finally:
        os.kill(frozen, signal.SIGCONT)
        os.kill(worker.process.pid, signal.SIGCONT)
    wait_for(lambda: live(house, tmp_path)[0] == 0, what="its return")
    os.kill(other, signal.SIGKILL)
    wait_for(lambda: len(worker.log_lines("worker.started")) == 3, what="its successor")
    wait_for(lambda: live(house, tmp_path) == (0, "alive: 2 worker processes turn\n"), what="two beats")
    assert not list(tmp_path.rglob(f"{other}.beat"))


def test_a_folder_that_cannot_be_used_stops_no_work(house: House, tmp_path: Path):
    (tmp_path / "file").write_text("")
    worker = house.worker(STATE_DIR=tmp_path / "file")
    house.answer(house.enqueue("list_groups", channel="sms"))
    assert len(worker.wait_lines("beat.not_written")) == 1
    assert live(house, tmp_path / "file")[0] == 1


def test_a_folder_of_somebody_else_is_not_believed(house: House, tmp_path: Path):
    folder = tmp_path / f"coupontools-worker-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    done = house.run("check", "--live", TMPDIR=tmp_path)
    assert done.returncode == 1
    assert "others may write it; set STATE_DIR" in done.stderr


@pytest.mark.parametrize("place", ["environment", ".env", "SECRETS_DIR", "nowhere"])
def test_a_probe_reads_its_settings_as_a_worker_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
):
    monkeypatch.chdir(tmp_path)
    for name in [*FEW, "secrets_dir"]:
        monkeypatch.delenv(name.upper(), raising=False)
    given = {
        "redis_url": "redis://:p%40ss@127.0.0.1:7/1",
        "BROKER_NAMESPACE": " 'quoted' ",
        "STATE_DIR": "/a b",
    }
    if place == "environment":
        for name, text in given.items():
            monkeypatch.setenv(name, text)
    elif place == ".env":
        (tmp_path / ".env").write_text("".join(f"export {name}={text!r}\n" for name, text in given.items()))
    elif place == "SECRETS_DIR":
        (tmp_path / ".env").write_text(f"SECRETS_DIR={tmp_path}\nREDIS_URL=\n")
        for name, text in given.items():
            (tmp_path / name).write_text(f"{text}\n")
    few = few_settings()
    assert few == load_settings(require_credentials=False).few
    assert (few == FEW) == (place == "nowhere")


def test_a_probe_costs_at_most_four_empty_pythons(house: House, tmp_path: Path):
    house.worker(STATE_DIR=tmp_path, WORKER_HEARTBEAT_SECONDS=20)
    environment = house.environment(STATE_DIR=tmp_path)
    wait_for(lambda: live(house, tmp_path)[0] == 0, what="a beat")

    def cpu(*arguments: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, check=True, timeout=240
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Take the smallest of several: other programs can only make a run cost more.
    empty = min(cpu("-c", "") for _ in range(7))
    assert min(cpu("-m", "workers.cli", "check", "--live") for _ in range(7)) <= 4 * empty
