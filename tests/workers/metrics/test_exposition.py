"""What Prometheus reads from a real `run`."""

from __future__ import annotations

import os
import re
import resource
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from actors import JOBS
from actors.event_data import ERROR_KINDS
from config import Settings
from tests.harness import House, wait_for
from tests.harness.commands import run_command
from workers.metrics import METRICS, exposition, server
from workers.metrics.attempts import attempt_metrics


def scrape(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return {
        name: float(value) for name, value in re.findall(r"^([a-z_]+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
    }


def folder_of_counts(pid: int) -> Path:
    """Return the folder in which a worker process keeps its counts."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (folder,) = (each for each in environment if each.startswith(b"PROMETHEUS_MULTIPROC_DIR="))
    return Path(folder.partition(b"=")[2].decode())


def total(metrics: dict[str, float], name: str, **labels: str) -> float:
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        value
        for key, value in metrics.items()
        if re.split(r"[{]", key)[0] == name and all(one in key for one in wanted)
    )


def test_attempts_and_state_of_all_processes_on_one_page(house: House, closed_port: int):
    port, group = closed_port, house.new_group()
    worker = house.worker(
        METRICS_PORT=port,
        WORKER_PROCESSES=2,
        # With this long heartbeat, a worker that is slow on a busy machine still counts as living.
        WORKER_HEARTBEAT_SECONDS=20,
    )
    same = {"channel": "sms", "group_id": group}
    # Every count must begin with 0: the first 1 of a new series is no increase, and an alert would not fire.
    zeros = [key for key, value in scrape(port).items() if value == 0]
    outcomes = [key for key in zeros if key.startswith("coupontools_outcomes_total{")]
    assert len(outcomes) == len(JOBS) * len(ERROR_KINDS)
    places = sum(len((job.queue, *job.also)) for job in JOBS.values())
    for name in ("messages", "message_retries", "message_rejects"):
        assert sum(key.startswith(f"dramatiq_{name}_total{{") for key in zeros) == places
    ids = [house.enqueue("add_contact", same, phone=f"+3247000{n:04}") for n in range(20)]
    house.wait_answered(ids)
    house.answer(house.enqueue("add_contact", same, phone="+32470000000"))
    house.answer(house.enqueue("add_contact", {**same, "group_id": "gro_999999"}, phone="+32470000000"))
    # An attempt writes its counts one after the other: wait for the last counts of the last two attempts.
    last = ("coupontools_replays_total", "dramatiq_message_rejects_total")
    wait_for(
        lambda: (
            total(counted := scrape(port), "dramatiq_message_duration_milliseconds_count") >= 22
            and all(total(counted, name) for name in last)
        ),
        what="the counts",
        show=house.log_tail,
    )
    metrics = scrape(port)
    assert total(metrics, "dramatiq_messages_total", actor_name="add_contact", queue_name="contacts") == 22
    assert total(metrics, "coupontools_outcomes_total", outcome="succeeded") == 20
    assert total(metrics, "coupontools_outcomes_total", outcome="failed", error_kind="rejected") == 1
    assert total(metrics, "coupontools_replays_total") == 1
    assert total(metrics, "dramatiq_message_rejects_total") == total(metrics, "coupontools_queue_dead") == 1
    assert total(metrics, "coupontools_api_calls_total", actor_name="add_contact") == 21
    assert total(metrics, "coupontools_api_seconds_count") == 21
    assert total(metrics, "dramatiq_message_duration_milliseconds_count") == 22
    wait_for(lambda: total(scrape(port), "dramatiq_messages_inprogress") == 0, what="nothing in progress")
    assert total(metrics, "coupontools_workers", queue="contacts") == 2
    assert total(metrics, "coupontools_redis_up") == 1
    known = {re.sub(r"_(bucket|sum|count)$", "", key.partition("{")[0]) for key in metrics}
    assert known <= set(METRICS)

    house.sandbox.faults("close_after", count=1)
    lost = house.answer(house.enqueue("add_contact", same, phone="+32470999999"))
    assert lost["data"]["reconciled"]
    wait_for(lambda: total(scrape(port), "coupontools_read_backs_total") == 1, what="the read back")
    wait_for(lambda: total(scrape(port), "dramatiq_messages_total") == 24, what="both attempts")
    assert total(scrape(port), "dramatiq_message_retries_total") == 1

    # When a process is gone, its gauges and files go, too, but its counts stay.
    gone = worker.children()[0]
    folder = folder_of_counts(gone)
    assert len(list(folder.glob(f"*_{gone}.db"))) == 3
    os.kill(gone, 9)
    wait_for(lambda: worker.log_lines("worker.died"), what="the death")
    assert total(scrape(port), "dramatiq_messages_total") == 24
    assert list(folder.glob(f"*_{gone}.db")) == []
    assert worker.terminate() == 0
    assert not folder.exists()


def test_what_leaves_no_dead_letter_is_not_counted_as_one(house: House, closed_port: int):
    """Otherwise cancelling a batch fires the alert that most jobs fail, which sends the operator to dead letters that do not exist."""
    port, group = closed_port, house.new_group()
    house.worker(METRICS_PORT=port)
    assert run_command("pause", environment=house.environment()).returncode == 0
    same = {"channel": "sms", "group_id": group}
    ids = [house.enqueue("add_contact", same, phone=f"+3247000{n:04}", batch_id="spring") for n in range(3)]
    assert run_command("cancel", "--batch", "spring", environment=house.environment()).returncode == 0
    house.wait_answered(ids)
    assert run_command("resume", environment=house.environment()).returncode == 0
    for name in ("first", "second"):
        house.answer(house.enqueue("create_group", channel="sms", name=name, idempotency_key="one"))
    house.answer(house.enqueue("add_contact", same, phone="none"))
    # An attempt writes its counts one after the other: wait for the last count of the last job.
    wait_for(
        lambda: (
            total(counted := scrape(port), "dramatiq_messages_total") >= 6
            and total(counted, "dramatiq_message_rejects_total")
        ),
        what="the counts",
        show=lambda: str(scrape(port)),
    )
    metrics = scrape(port)
    for kind, times in (("cancelled", 3), ("conflict", 1), ("invalid", 1)):
        assert total(metrics, "coupontools_outcomes_total", error_kind=kind) == times
    assert total(metrics, "dramatiq_message_errors_total") == 5
    assert total(metrics, "dramatiq_message_rejects_total") == total(metrics, "coupontools_queue_dead") == 1


def test_without_room_for_counts_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        assert attempt_metrics() is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "metrics.not_counted" in capsys.readouterr().out


def test_one_process_has_files_without_holes_and_a_page_for_this_machine_alone_also_without_redis(
    fragile_house: House,
    closed_port: int,
):
    """One test for all three, because each real start costs two seconds."""
    port = closed_port
    worker = fragile_house.worker(METRICS_PORT=port)
    # On a full disk, a write into a hole of a mapped file would end every process by SIGBUS, again and again and without a line.
    files = list(folder_of_counts(worker.children()[0]).glob("*.db"))
    assert len(files) == 3 + 3
    for file in files:
        assert file.stat().st_blocks * 512 >= file.stat().st_size > 0
    # Every address of 127.0.0.0/8 is this machine: a server that listens on all addresses would answer here, too.
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.2:{port}/metrics", timeout=60)
    fragile_house.redis.rpush("dramatiq:reads", "no-such-body")
    assert total(scrape(port), "coupontools_redis_up") == 1
    fragile_house.server.kill()
    wait_for(lambda: scrape(port).get("coupontools_redis_up") == 0, what="redis_up 0")
    assert "coupontools_workers" not in scrape(port)
    assert worker.process.poll() is None


def test_a_port_that_is_taken_is_wrong_settings(house: House, closed_port: int):
    done = house.run_process("run", METRICS_PORT=house.server.port)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == (
        f"METRICS_HOST, METRICS_PORT: cannot listen on 127.0.0.1, port {house.server.port}: Address already in use"
    )
    elsewhere = house.run_process("run", METRICS_PORT=closed_port, METRICS_HOST="no-such-host.invalid")
    assert elsewhere.returncode == 2
    assert elsewhere.stderr.startswith("METRICS_HOST, METRICS_PORT: cannot listen on no-such-host.invalid")


def test_an_odd_worker_stops_no_scrape(house: House, closed_port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REDIS_URL", house.server.url)
    house.redis.zadd("dramatiq:__heartbeats__", {b"\xff\xfe": time.time() * 1000})
    house.redis.hset("coupontools:workers", b"\xff\xfe", "[]")
    with exposition(Settings(), closed_port):
        metrics = scrape(closed_port)
    assert total(metrics, "coupontools_redis_up") == 1


@pytest.mark.story
def test_half_sent_requests_keep_nobody_out_and_hold_few_threads(
    house: House, closed_port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REDIS_URL", house.server.url)
    monkeypatch.setattr(server, "REQUEST_SECONDS", 2.0)
    port, before = closed_port, set(threading.enumerate())

    def threads() -> int:
        """Return how many threads the server has. Threads from before do not count: one of them may end meanwhile."""
        return len(set(threading.enumerate()) - before)

    with exposition(Settings(), port), ExitStack() as stack:
        for _ in range(400):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=120))
            half.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert total(scrape(port), "coupontools_redis_up") == 1
        # One thread for each place, the thread that accepts, and threads that have given back their place but not ended yet.
        assert threads() <= 2 * server.PLACES
        # With no new requests coming, the last half-sent ones are closed when their time is over.
        wait_for(lambda: threads() == 1, what="the end of the half-sent requests")
        assert half.recv(1) == b""
        assert total(scrape(port), "coupontools_redis_up") == 1
    # The thread of the last answer ends once the answer has been read.
    wait_for(lambda: threads() == 0, what="the end of all threads")
