"""The settings of a command that only looks or enqueues, and whether they are those of the workers."""

from __future__ import annotations

import redis
import typer

from config import Settings, load_settings
from config.env_file import oddities
from workers.cli.output import say
from workers.worker_list import wrong_pair

__all__ = ["check_pair", "command_settings"]


def command_settings() -> Settings:
    """Read the settings, without credentials, and warn of oddities.

    Raises SettingsError, which ends the command.
    """
    settings = load_settings(require_credentials=False)
    for sentence in oddities(settings.names()):
        say(f"warning: {sentence}", err=True)
    return settings


def check_pair(client: redis.Redis, settings: Settings) -> None:
    """End the command with exit code 2 if living workers use one of our two key names together with another.

    A pause would be reported as set, and hold nobody; a job would be carried out, and its event be written where nobody looks.
    """
    if problem := wrong_pair(client, settings):
        say(f"{problem}; nothing was done", err=True)
        raise typer.Exit(2)
