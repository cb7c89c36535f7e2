"""`run` keeps its processes running, and stops once, cleanly, however often and in whatever way it is told."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from dramatiq import Worker

from config import Settings
from tests.harness import House, RunningWorker, wait_for
from tests.harness.piped import DEVNULL, PIPE
from workers.assembly import assemble
from workers.process import Standstill, dead_parts


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _waits(pid: int) -> int:
    """How often a process of one thread has waited for something, as a supervisor does between two looks."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def _outstanding(house: House) -> int:
    """Ids that some worker has, by the names of all who ever said they live."""
    workers = house.redis.zrange("dramatiq:__heartbeats__", 0, -1)
    return sum(house.redis.scard(f"dramatiq:__acks__.{worker.decode()}.contacts") for worker in workers)


@pytest.mark.story
def test_a_process_that_dies_is_replaced_with_growing_pauses(house: House) -> None:
    house.for_real()
    worker = house.worker("--processes", "2", WORKER_PROCESSES=2)
    for deaths in (1, 2, 3):
        wait_for(lambda: len(worker.children()) == 2, what="two processes")
        victim = worker.children()[0]
        os.kill(victim, signal.SIGKILL)
        wait_for(
            lambda number=deaths: len(worker.log_lines("worker.died")) == number,
            what="worker.died",
            show=lambda: worker.log_text,
        )
    wait_for(lambda: len(worker.log_lines("worker.started")) >= 3, what="a replacement")
    assert all(line["exit_code"] == -signal.SIGKILL for line in worker.log_lines("worker.died"))
    group = house.new_group()
    house.answer(house.enqueue("add_contact", channel="sms", group_id=group, phone="+32470000001"))
    assert worker.terminate() == 0


def test_a_process_that_keeps_dying_is_started_ever_less_often(house: House) -> None:
    # It dies while it starts, every time: its supervisor starts well, it does not.
    worker = house.worker(wait=False)
    wait_for(lambda: bool(worker.children()), what="a process")
    for deaths in (1, 2, 3, 4):
        wait_for(lambda: bool(worker.children()), what="a process")
        os.kill(worker.children()[0], signal.SIGKILL)
        wait_for(lambda number=deaths: len(worker.log_lines("worker.died")) == number, what="worker.died")
    pauses = [line["restart_in_ms"] for line in worker.log_lines("worker.died")]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 4 * pauses[0]
    assert worker.terminate() == 0


def _once(worker: RunningWorker) -> None:
    worker.process.terminate()


def _thrice(worker: RunningWorker) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        worker.process.send_signal(number)


def _group(worker: RunningWorker) -> None:
    worker.signal_all(signal.SIGTERM)
    worker.signal_all(signal.SIGINT)


@pytest.mark.parametrize(
    "tell",
    [pytest.param(_once, marks=pytest.mark.chaos), _thrice, pytest.param(_group, marks=pytest.mark.story)],
)
def test_told_to_stop_it_lets_jobs_end_and_hands_back_the_rest(
    house: House, tell: Callable[[RunningWorker], None]
) -> None:
    if tell is _group:
        house.for_real()
    group = house.new_group()
    house.sandbox.faults("slow", endpoint="sms/addcontact", count=3, seconds=1)
    # As many as begin: on a busy machine the slow ones may have ended before it is told, and others have taken their places.
    house.sandbox.faults("hang_before", endpoint="sms/addcontact", seconds=60)
    worker = house.worker("--concurrency", "6", SHUTDOWN_SECONDS=3, COUPONTOOLS_TIMEOUT_SECONDS=60)
    ids = house.enqueue_many(
        "add_contact",
        [{"channel": "sms", "group_id": group, "phone": f"+3247{number:07d}"} for number in range(20)],
    )
    wait_for(lambda: len(house.sandbox.requests()) >= 6, what="six calls in flight")
    children = worker.children()
    tell(worker)
    assert worker.process.wait(timeout=240) == 0
    assert not any(_alive(pid) for pid in children)
    assert len(worker.log_lines("worker.stopping")) == len(worker.log_lines("worker.stopped")) == 1
    # Three ended in time, those that hung were cut off, the others were never begun: all but the first three are back on the queue.
    assert house.tally() == {"contact.added": 3}
    assert house.redis.llen("dramatiq:contacts") == house.redis.hlen("dramatiq:contacts.msgs") == 17
    assert house.redis.zcard("coupontools:delayed:contacts") == 0
    assert _outstanding(house) == 0
    assert house.redis.zcard("dramatiq:__heartbeats__") == 0
    house.sandbox.clear_faults()
    house.worker()
    answers = house.wait_answered(ids)
    assert all(len(events) == 1 for events in answers.values())
    assert house.counts()["surplus_contacts"] == 0


def test_a_frozen_process_is_killed_and_replaced(house: House) -> None:
    """It holds its place and hears no other signal."""
    worker = house.worker(WORKER_HEARTBEAT_SECONDS=1, WORKER_PROCESSES=2)
    frozen, other = worker.children()
    os.kill(frozen, signal.SIGSTOP)
    wait_for(lambda: len(worker.log_lines("worker.started")) == 3, what="its successor", show=house.log_tail)
    (told,) = worker.log_lines("worker.frozen")
    assert told["pid"] == frozen
    assert 5 <= told["silent_s"] < 30
    assert not _alive(frozen)
    assert other in worker.children()
    assert worker.terminate() == 0


def test_a_supervisor_that_stood_still_itself_counts_anew(house: House) -> None:
    worker = house.worker(WORKER_HEARTBEAT_SECONDS=1)
    (child,) = worker.children()
    worker.signal_all(signal.SIGSTOP)
    stopped_at = time.monotonic()
    # Longer than a process may be silent: nothing else shows that the supervisor counts anew.
    wait_for(lambda: time.monotonic() - stopped_at > 8, what="the silence")
    before = _waits(worker.process.pid)
    worker.process.send_signal(signal.SIGCONT)
    # For a moment only the supervisor goes on, and sees how long its child was silent. After a longer one, it should kill the child.
    wait_for(lambda: _waits(worker.process.pid) >= before + 5, what="some looks")
    os.kill(child, signal.SIGCONT)
    group = house.new_group()
    house.answer(house.enqueue("add_contact", channel="sms", group_id=group, phone="+32470000001"))
    assert worker.children() == [child]
    assert worker.log_lines("worker.frozen") == []
    assert worker.terminate() == 0


def test_told_to_stop_before_it_listens_it_stops_cleanly(house: House) -> None:
    house.for_real()
    worker = house.worker(wait=False)
    command = Path(f"/proc/{worker.process.pid}/cmdline")
    while b"workers.supervisor" not in command.read_bytes():
        assert worker.process.poll() is None, worker.log_text
    assert worker.terminate() == 0


@pytest.mark.parametrize("frozen", [False, pytest.param(True, marks=pytest.mark.chaos)])
def test_it_stops_while_redis_is_away(fragile_house: House, frozen: bool) -> None:
    house = fragile_house
    group = house.new_group()
    house.sandbox.faults("slow", endpoint="sms/addcontact", count=4, seconds=1)
    worker = house.worker("--concurrency", "4", SHUTDOWN_SECONDS=1, WORKER_PROCESSES=2)
    ids = house.enqueue_many(
        "add_contact",
        [{"channel": "sms", "group_id": group, "phone": f"+3247{number:07d}"} for number in range(12)],
    )
    wait_for(lambda: len(house.sandbox.requests()) >= 4, what="calls in flight")
    children = worker.children()
    server = house.server.process
    assert server
    if frozen:
        server.send_signal(signal.SIGSTOP)
    else:
        house.server.kill()
    assert worker.terminate() == 0, worker.log_text[-3000:]
    assert not any(_alive(pid) for pid in children)
    if frozen:
        server.send_signal(signal.SIGCONT)
    else:
        house.server.start()
    house.worker(WORKER_HEARTBEAT_SECONDS=1)
    answers = house.wait_answered(ids)
    assert all(len(events) == 1 for events in answers.values())
    assert house.counts()["surplus_contacts"] == 0


def test_a_supervisor_that_is_killed_leaves_nobody_behind(house: House) -> None:
    # A process that inherited the supervisor's end of the other's socket would keep the other alive. Only real starts show this.
    house.for_real()
    worker = house.worker(WORKER_PROCESSES=2)
    children = worker.children()
    assert len(children) == 2
    os.kill(worker.process.pid, signal.SIGKILL)
    wait_for(lambda: not any(_alive(pid) for pid in children), what="the end of the processes")
    assert len(worker.log_lines("worker.stopped")) == 2
    assert house.redis.zcard("dramatiq:__heartbeats__") == 0


#: A worker process whose parts can be broken: `broker`, `worker`, `pulse`, and `loop` with the event loop.
BREAKABLE = """
import asyncio, time
from dramatiq import Worker
from config import load_settings, setup_logging
from workers import process
from workers.assembly import assemble
from workers.signals import Stop

setup_logging("json", "INFO")
process.LOOK_SECONDS = 0.05
settings = load_settings()
broker = assemble(settings, concurrency=2)
pulse = process.Pulse(settings)
worker = Worker(broker, worker_threads=1)
worker.start()
(loop,) = (each._loop for each in broker.middleware if hasattr(each, "_loop"))
"""

LOOP_STANDS_STILL = """
async def stand_still():
    time.sleep(600)

loop.submit(stand_still())
process.watch(worker, broker, Stop(), pulse)
"""

SENDER_DIES = """
from workers.redis_link import AsyncRunner

async def fail(*_):
    raise RuntimeError("made up")

AsyncRunner._hand_out = fail
loop.submit(loop._runner.command("PING") if hasattr(loop, "_runner") else loop.runner.command("PING"))
process.watch(worker, broker, Stop(), pulse)
"""

JOBS_STAND_STILL = """
async def stand_still():
    ticket = await broker.gate.enter("contacts", frozenset(), None, 600)
    with broker.gate.inside(ticket):
        await asyncio.sleep(600)

for lane in range(2):
    loop.submit(stand_still())
pulse.longest, process.STANDSTILL_SECONDS = 0, 1
process.watch(worker, broker, Stop(), pulse)
"""

START_FAILS = """
import sys
from workers import process
from workers.loop import JobLoop

async def fail(self):
    raise OSError("made up")

JobLoop._open = fail
sys.exit(process.main(["--concurrency=2"]))
"""


def _end_of(house: House, *code: str) -> tuple[int, list[dict[str, Any]]]:
    """Run a process that breaks. Return its exit code and its log lines."""
    streams = {"stdin": PIPE, "stdout": DEVNULL, "text": True}
    with house.start("-c", "".join(code), streams=streams) as process:
        # Its standard input stays open, as that of a worker process whose supervisor lives.
        exit_code = process.wait(timeout=240)
        return exit_code, [json.loads(line) for line in process.stderr]


def test_a_loop_that_stands_still_ends_its_process_and_says_where(house: House) -> None:
    """Its heartbeat goes on, so nobody would take over what it holds. `run` replaces a process that ends."""
    code, lines = _end_of(house, BREAKABLE, LOOP_STANDS_STILL)
    assert (code, lines[-1]["event"]) == (1, "worker.loop_stuck")
    assert "stand_still" in lines[-1]["where"]


def test_a_process_whose_sender_died_ends(house: House) -> None:
    """One task sends what all jobs ask of Redis; without it they would wait for ever in a process that looks healthy."""
    code, lines = _end_of(house, BREAKABLE, SENDER_DIES)
    assert (code, lines[-1]["event"], lines[-1]["parts"]) == (1, "worker.part_died", ["redis-runner"])
    (told,) = [line for line in lines if line["event"] == "redis.sender_died"]
    assert "made up" in told["exception"]


def test_a_process_whose_jobs_do_not_end_ends(house: House) -> None:
    """No other worker takes over what a living one has in hand."""
    code, lines = _end_of(house, BREAKABLE, JOBS_STAND_STILL)
    assert (code, lines[-1]["event"]) == (1, "worker.standstill")


def test_while_redis_is_away_nothing_ends_and_that_is_no_standstill() -> None:
    broker = Mock(**{"gate.shares.full_since": 1.0})
    standstill = Standstill(broker)
    for up, seconds in ((True, 0), (True, 1), (True, 2), (False, 0), (True, 1)):
        broker.link.without = None if up else "away"
        standstill.look()
        assert standstill.seconds == seconds
    broker.gate.shares.full_since = 2.0
    standstill.look()
    assert standstill.seconds == 0


def test_a_start_that_fails_ends_the_process(house: House) -> None:
    """Dramatiq swallows the error; its worker would fetch jobs that nothing carries out."""
    ids = house.enqueue_many("list_groups", [{"channel": "sms"}] * 20)
    code, lines = _end_of(house, START_FAILS)
    assert (code, [line["event"] for line in lines]) == (1, ["worker.not_started"])
    assert lines[0]["error"] == "OSError: made up"
    assert house.redis.llen("dramatiq:reads") == len(ids)


def test_a_thread_that_ends_is_noticed(house: House) -> None:
    """What the process then does is end, and be replaced."""
    settings = Settings(
        redis_url=house.server.url,
        coupontools_base_url=house.sandbox.url,
        coupontools_client_id="id",
        coupontools_client_secret="made-up",
        _env_file=None,
    )
    broker = assemble(settings, concurrency=2)
    worker = Worker(broker, worker_threads=1)
    worker.start()
    try:
        assert dead_parts(worker, broker) == []
        assert len(broker.parts) == 3
        consumer = worker.consumers["reads"]
        consumer.stop()
        consumer.join(timeout=120)
        assert dead_parts(worker, broker) == [consumer.name]
    finally:
        worker.stop()
        broker.close()
    assert len(dead_parts(worker, broker)) == 5 + 1 + 3
