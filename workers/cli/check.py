"""`check`: is this worker healthy? For container health checks."""

from __future__ import annotations

import socket
from typing import Annotated

import redis
import typer

from config import redact_text
from workers.cli.output import say, say_json
from workers.cli.settings import command_settings
from workers.redis_link import sync_client
from workers.state import read_workers

__all__ = ["check"]


def check(
    any_host: Annotated[bool, typer.Option("--any-host", help="Count workers of other hosts too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.")] = False,
) -> None:
    """Exit 0 if Redis answers and a worker of this host is alive, else 1 with the reason.

    Example:

        coupontools-worker check
    """
    settings = command_settings()
    problem = None
    alive = 0
    try:
        with sync_client(settings.redis_url) as client:
            workers, _ = read_workers(client, settings)
        mine = [worker for worker in workers if any_host or worker.host == socket.gethostname()]
        alive = sum(worker.seen_seconds_ago <= settings.worker_heartbeat_seconds for worker in mine)
        if not alive:
            problem = f"no worker of this host was seen in the last {settings.worker_heartbeat_seconds:g} s"
    except redis.RedisError as error:
        problem = f"Redis does not answer: {redact_text(str(error))}"
    if as_json:
        say_json({"healthy": problem is None, "workers": alive, "problem": problem})
    else:
        say(problem or f"healthy: {alive} worker processes alive", err=problem is not None)
    raise typer.Exit(0 if problem is None else 1)
