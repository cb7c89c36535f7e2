"""Interleaved rounds, so that a machine that is busy for a while disturbs all contenders alike; medians, and ratios to each rival."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import redis

from benchmarks.measuring import cpu_seconds, table
from benchmarks.rivals.api import LATENCY_MS, Api, api
from benchmarks.rivals.contenders import CONTENDERS, HERE, OURS, ROOT, Contender
from tests.harness import wait_for
from workers.embedded import EmbeddedRedis

WARM = 300


@dataclass(frozen=True, slots=True)
class Result:
    """What one run of one contender cost."""

    cpu_per_1000: float
    jobs_per_second: float
    megabytes: float
    redis_cpu_per_1000: float
    redis_bytes_per_job: float


def main() -> None:
    """Run all contenders by turns, and print what they cost."""
    rounds, jobs, in_flight = (
        _number(name, usual) for name, usual in (("ROUNDS", 3), ("JOBS", 3000), ("IN_FLIGHT", 64))
    )
    wanted = set(filter(None, os.environ.get("RIVALS", "").split(",")))
    contenders = [each for each in CONTENDERS if not wanted or wanted & {each.name, each.packages}]
    results: dict[str, list[Result]] = {each.name: [] for each in contenders}
    with api() as stand_in:
        sustains = stand_in.sustains()
    together = len(contenders) if os.environ.get("RIVALS_TOGETHER") else 1
    with ThreadPoolExecutor(together) as pool:
        for _ in range(rounds):
            runs = pool.map(lambda each: _run(each, jobs, in_flight), contenders)
            for each, run in zip(contenders, runs, strict=True):
                results[each.name].append(run)
    medians = {name: _median(runs) for name, runs in results.items()}
    _print(
        medians,
        f"{stand_in.name} answers after {LATENCY_MS} ms and sustains {sustains:.0f} calls a second",
        in_flight,
    )
    told = {
        "in_flight": in_flight,
        "jobs": jobs,
        "rounds": rounds,
        "together": together > 1,
        "api": stand_in.name,
        "api_sustains": round(sustains),
    }
    every = {name: [asdict(run) for run in runs] for name, runs in results.items()}
    print(
        orjson.dumps(
            {**told, "medians": {name: asdict(one) for name, one in medians.items()}, "runs": every}
        ).decode()
    )


def _number(name: str, usual: int) -> int:
    return int(os.environ.get(f"RIVALS_{name}", usual))


def _run(contender: Contender, jobs: int, in_flight: int) -> Result:
    with (
        api() as stand_in,
        EmbeddedRedis() as server,
        tempfile.TemporaryDirectory(prefix="rival-") as folder,
    ):
        client = redis.Redis.from_url(server.url)
        settings = {
            **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}},
            "REDIS_URL": server.url,
            "API_URL": stand_in.url,
            "PYTHONPATH": str(ROOT) if contender.name == OURS else str(HERE),
            "TMPDIR": folder,
            # Only our worker reads these; its other settings have their defaults.
            "STATE_DIR": folder,
            "COUPONTOOLS_BASE_URL": stand_in.url,
            "COUPONTOOLS_CLIENT_ID": "id",
            "COUPONTOOLS_CLIENT_SECRET": "a-secret-of-nobody",
            "COUPONTOOLS_RATE_LIMIT": "0",
            "LOG_FORMAT": "json",
        }
        with _started(contender.start(in_flight), settings) as session:
            contender.enqueue(client, WARM, settings)
            _wait_called(stand_in, WARM)
            # Enqueue aside and move all jobs at once: no contender waits for the producer, or takes jobs before the clock runs.
            url = f"{server.url.removesuffix('0')}1"
            aside = redis.Redis.from_url(url)
            contender.enqueue(aside, jobs, settings | {"REDIS_URL": url}, anew=True)
            before, cpu, redis_cpu = stand_in.calls(), _cpu(session), cpu_seconds(_pid(server))
            sent, began = client.info()["total_net_input_bytes"], time.monotonic()
            _move(aside)
            seconds = _wait_called(stand_in, before + jobs) - began
            # The last calls are still to be answered, and their jobs settled.
            time.sleep(1)
            return Result(
                cpu_per_1000=(_cpu(session) - cpu) / jobs * 1000,
                jobs_per_second=jobs / seconds,
                megabytes=_megabytes(session),
                redis_cpu_per_1000=(cpu_seconds(_pid(server)) - redis_cpu) / jobs * 1000,
                redis_bytes_per_job=(client.info()["total_net_input_bytes"] - sent) / jobs,
            )


def _move(aside: redis.Redis) -> None:
    """Move the enqueued jobs, messages before the lists that name them; other keys of a library are there already."""
    names: list[Any] = list(aside.scan_iter())
    for kind in (b"hash", b"list"):
        for name in (name for name in names if aside.type(name) == kind):
            # MOVE does not replace a key, and the last message of the warm-up may still be there.
            wait_for(partial(aside.move, name, 0), what=f"{name!r} to be empty")


@contextmanager
def _started(command: list[str], settings: dict[str, str]) -> Iterator[int]:
    """Start a worker in a session of its own, and yield the session's number, by which its processes are found."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env=settings,
            cwd=HERE,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process.pid
        except BaseException:
            log.seek(0)
            print(log.read()[-3000:].decode(errors="replace"))
            raise
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=60)


def _wait_called(stand_in: Api, count: int) -> float:
    """Wait until ``count`` calls have arrived; return the time of the look that saw them."""
    called = 0.0

    def enough() -> bool:
        nonlocal called
        called = time.monotonic()
        return stand_in.calls() >= count

    wait_for(enough, seconds=300, what=f"{count} calls")
    return called


def _processes(session: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                text = (entry / "stat").read_text(encoding="ascii")
                if int(text.rpartition(")")[2].split()[3]) == session:
                    found.append(int(entry.name))
    return found


def _cpu(session: int) -> float:
    return sum(cpu_seconds(pid) for pid in _processes(session))


def _megabytes(session: int) -> float:
    pages = (
        int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) for pid in _processes(session)
    )
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _pid(server: EmbeddedRedis) -> int:
    if server.process is None:
        raise RuntimeError("Redis has not been started")
    return server.process.pid


def _median(runs: list[Result]) -> Result:
    return Result(
        *(statistics.median(values) for values in zip(*(asdict(run).values() for run in runs), strict=True))
    )


def _print(medians: dict[str, Result], api_told: str, in_flight: int) -> None:
    print(f"  {api_told}; {in_flight} jobs in flight, one worker process")
    ours = medians.get(OURS)
    rows = []
    for name, one in medians.items():
        figures = (
            f"{one.cpu_per_1000:.2f} CPU-s per 1,000 jobs, {one.jobs_per_second:.0f} jobs/s, {one.megabytes:.0f} MB, "
            f"Redis {one.redis_cpu_per_1000:.2f} CPU-s per 1,000 and {one.redis_bytes_per_job:.0f} bytes a job"
        )
        if ours and name != OURS:
            figures += (
                f"; ours is {ours.cpu_per_1000 / one.cpu_per_1000:.2f} of its CPU, "
                f"{ours.jobs_per_second / one.jobs_per_second:.2f} of its jobs/s"
            )
        rows.append((name, figures))
    table(rows)
