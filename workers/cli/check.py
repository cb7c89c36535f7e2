"""`check`: is this worker ready? And, with `--live`, is it alive? For container health checks and probes."""

from __future__ import annotations

import socket
from typing import Annotated

import redis
import typer

from config import Settings
from workers.beats import beats_folder, living
from workers.cli.live import check_live, told_of, told_of_standing
from workers.cli.output import say, say_json
from workers.cli.settings import command_settings
from workers.halts import held
from workers.other_queues import find_other_queues
from workers.redis_link import sync_client, trouble_of
from workers.state import read_state

__all__ = ["check"]


def check(
    live: Annotated[
        bool, typer.Option("--live", help="Check only that this host's processes are alive and turn.")
    ] = False,
    any_host: Annotated[bool, typer.Option("--any-host", help="Count workers of other hosts too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.")] = False,
) -> None:
    """Exit 0 if Redis answers, takes writes and evicts nothing, and a worker of this host lives and its jobs end, else 1 with the reason.

    It warns of work that stands still though this worker is well: of holds, pauses and queues that no worker takes.

    With --live Redis is not asked: if it is away, that is no reason to restart a worker.

    Examples:

        coupontools-worker check

        coupontools-worker check --live
    """
    if live:
        raise typer.Exit(check_live(as_json=as_json))
    settings = command_settings()
    problems: list[str] = []
    warnings: list[str] = []
    alive = 0
    try:
        with sync_client(settings.redis_url) as client:
            state = read_state(client, settings, find_other_queues(client, settings))
            problems = list(state.redis.problems)
        workers = state.workers
        # A hold is no fault of a worker, and the worker is ready all the same: warn, and exit 0.
        warnings = [*held(state), *state.redis.warnings]
        warnings += [f"no worker takes what waits in {name}" for name in state.unserved()]
        mine = [worker for worker in workers if any_host or worker.host == socket.gethostname()]
        alive = sum(worker.lives for worker in mine)
        if not alive:
            whose = "no worker" if any_host else "no worker of this host"
            silence = max(
                (worker.silence_seconds for worker in mine), default=settings.worker_heartbeat_seconds
            )
            silent = f"{whose} was seen in the last {silence:g} s"
            problems.append(silent if state.redis.writable else f"{silent}: none can write that it is alive")
        problems += [
            f"worker process {worker.pid} takes no jobs: {worker.without}"
            for worker in mine
            if worker.without
        ]
    except redis.RedisError as error:
        problems.append(trouble_of(error))
    problems += _stuck(settings)
    problem = "; ".join(problems) or None
    if as_json:
        say_json({"healthy": problem is None, "workers": alive, "problem": problem, "warnings": warnings})
    else:
        for warning in warnings:
            say(f"warning: {warning}", err=True)
        say(problem or f"healthy: {alive} worker processes alive", err=problem is not None)
    raise typer.Exit(0 if problem is None else 1)


def _stuck(settings: Settings) -> list[str]:
    try:
        processes = list(living(beats_folder(**settings.few)))
    except OSError:
        # The worker's log reports that the folder cannot be used.
        return []
    stuck = [told_of(each) for each in processes if not each.turns]
    return stuck + [told_of_standing(each) for each in processes if each.turns and each.standing]
