"""Check that a command uses the same two key names as the workers: otherwise what it writes would reach other workers, or none."""

from __future__ import annotations

import redis
import typer

from config import Settings
from workers.cli.output import say
from workers.worker_list import wrong_pair

__all__ = ["check_pair"]


def check_pair(client: redis.Redis, settings: Settings) -> None:
    """End the command with exit code 2 if living workers use one of our two key names together with another.

    A pause would be reported as set, and hold nobody; a job would be carried out, and its event be written where nobody looks.
    """
    if problem := wrong_pair(client, settings):
        say(f"{problem}; nothing was done", err=True)
        raise typer.Exit(2)
