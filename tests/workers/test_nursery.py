"""Workers that the nursery starts for other tests: do they live and end as those that a user starts?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness import House, RunningWorker, wait_for


def ends_by_itself(worker: RunningWorker) -> int:
    return worker.process.wait(timeout=240)


def is_told_to_end(worker: RunningWorker) -> int:
    return worker.wait_started().terminate()


def is_killed(worker: RunningWorker) -> int:
    worker.wait_started().kill()
    assert worker.process.returncode is not None
    return worker.process.returncode


ENDS = {
    "ended": (is_told_to_end, {}, 0),
    "killed": (is_killed, {}, -signal.SIGKILL),
    "a wrong setting": (ends_by_itself, {"RETRY_MIN_SECONDS": "soon"}, 2),
    "a name that is taken": (ends_by_itself, {"KEY_PREFIX": "another"}, 2),
}


def story(house: House, end: str) -> tuple[int, list[str]]:
    """The exit code, and the events or lines of text that were printed."""
    how, settings, _ = ENDS[end]
    worker = house.worker(wait=False, **settings)
    code = how(worker)
    worker.kill()
    lines = worker.log_lines() if worker.log_text.startswith("{") else worker.log_text.splitlines()
    told = {line["event"] if isinstance(line, dict) else line for line in lines}
    # Whether somebody looks after the one before it while it lives is a matter of time.
    return code, sorted(told - {"worker.taken_over"})


@pytest.mark.parametrize(
    "end", [end if end == "a wrong setting" else pytest.param(end, marks=pytest.mark.story) for end in ENDS]
)
def test_both_end_alike(house: House, end: str) -> None:
    if end == "a name that is taken":
        house.worker()
    forked = story(house, end)
    house.for_real()
    assert forked == story(house, end)
    assert forked[0] == ENDS[end][2]


def test_each_process_has_its_own_of_everything(house: House) -> None:
    worker, other = (house.worker("--processes", "2", WORKER_PROCESSES=2) for _ in range(2))
    pids = [worker.process.pid, *worker.children(), other.process.pid, *other.children()]
    assert len(set(pids)) == 6
    assert [os.getsid(pid) for pid in pids] == [worker.process.pid] * 3 + [other.process.pid] * 3
    names = {line["worker"] for one in (worker, other) for line in one.log_lines("worker.started")}
    assert len(names) == 4
    for pid in pids:
        printed_into = {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in (1, 2)}
        assert printed_into == {(worker if pid in pids[:3] else other)._log.name}


def test_a_process_that_dies_is_replaced(house: House) -> None:
    worker = house.worker()
    [first] = worker.children()
    os.kill(first, signal.SIGKILL)
    [died] = worker.wait_lines("worker.died")
    assert (died["pid"], died["exit_code"]) == (first, -signal.SIGKILL)
    worker.wait_lines("worker.started", 2)
    assert worker.terminate() == 0


#: Starts a worker as tests do, says who it is, and waits to be killed.
TESTS = """
import json, os, sys, time
from tests.harness.nursling import Nursery

with Nursery() as nursery, open(os.devnull, "wb") as nowhere:
    print(nursery.start(["run"], json.loads(sys.argv[1]), nowhere).pid, flush=True)
    time.sleep(600)
"""


def test_of_tests_that_are_killed_nothing_is_left(house: House) -> None:
    environment = json.dumps(house.environment())
    path = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        [sys.executable, "-c", TESTS, environment], stdout=subprocess.PIPE, env=path
    ) as tests:
        assert tests.stdout
        leader = int(tests.stdout.readline())
        wait_for(lambda: house.redis.zcard("dramatiq:__heartbeats__") == 1, what="a worker that works")
        tests.kill()

    def is_gone() -> bool:
        with suppress(ProcessLookupError):
            os.killpg(leader, 0)
            return False
        return True

    wait_for(is_gone, what="the end of its group")
