"""Several ways to run the worker, by turns: what a job costs in each, and the ratio to the first."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measuring import cpu_seconds, fill, house, table
from sandbox import Sandbox
from tests.harness import House, wait_for

__all__ = ["Way", "compare"]

JOBS = 3_000
WARM = 300
TURNS = 3
LATENCY_MS = 100


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run it: settings, arguments of `run`, and what is done to its house before the first turn."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    arguments: tuple[str, ...] = ("--concurrency", "64")
    prepare: Callable[[House], None] = lambda _: None
    #: Arguments of the jobs, and among how many groups they are spread.
    job: Mapping[str, object] = field(default_factory=dict)
    groups: int = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took: CPU-seconds of the worker's processes and of Redis for each 1,000 jobs, and jobs a second."""

    cpu: float
    redis_cpu: float
    rate: float


def compare(*ways: Way) -> None:
    """Run all by turns, each in a house of its own, and print medians."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox())
        houses = {way.name: stack.enter_context(house(sandbox)) for way in ways}
        for way in ways:
            way.prepare(houses[way.name])
        costs: dict[str, list[Cost]] = {way.name: [] for way in ways}
        for turn in range(TURNS):
            for way in ways:
                sandbox.reset(settings=True)
                sandbox.settings(latency_ms=LATENCY_MS)
                costs[way.name].append(_run(houses[way.name], way, turn))
    rows = []
    first = costs[ways[0].name]
    for name, runs in costs.items():
        cpu, redis_cpu, rate = (
            statistics.median(getattr(run, each) for run in runs) for each in ("cpu", "redis_cpu", "rate")
        )
        ratio, redis_ratio = (
            statistics.median(
                getattr(run, each) / getattr(other, each) for run, other in zip(runs, first, strict=True)
            )
            for each in ("cpu", "redis_cpu")
        )
        rows.append(
            (
                name,
                f"{cpu:.2f} CPU-s per 1,000 jobs ({ratio:.2f}), Redis {redis_cpu:.2f} ({redis_ratio:.2f}), {rate:.0f} jobs/s",
            )
        )
    table(rows)


def _run(place: House, way: Way, turn: int) -> Cost:
    groups = [place.new_group() for _ in range(way.groups)]
    # A quiet worker does not say that it has started; its first events do.
    worker = place.worker(*way.arguments, wait=False, **way.settings)
    client, server = place.redis, place.server.process
    if server is None:
        raise RuntimeError("Redis does not run")
    try:
        before = client.xlen("coupontools:events")
        for number, group in enumerate(groups):
            share = (WARM + JOBS) // len(groups)
            fill(client, group, share, prefix=turn, first=number * share, more=dict(way.job))
        wait_for(lambda: client.xlen("coupontools:events") >= before + WARM, what="the start")
        children = worker.children()

        def spent() -> tuple[float, float, int, float]:
            answered = client.xlen("coupontools:events")
            return sum(map(cpu_seconds, children)), cpu_seconds(server.pid), answered, time.monotonic()

        began = spent()
        wanted = before + len(groups) * ((WARM + JOBS) // len(groups))
        wait_for(lambda: client.xlen("coupontools:events") >= wanted, seconds=600, what="all answers")
        cpu, redis_cpu, jobs, seconds = (
            after - earlier for after, earlier in zip(spent(), began, strict=True)
        )
    finally:
        worker.terminate()
    return Cost(cpu / jobs * 1000, redis_cpu / jobs * 1000, jobs / seconds)
