"""The settings of a command that only looks or enqueues: it needs no credentials."""

from __future__ import annotations

from config import Settings, load_settings
from config.env_file import oddities
from workers.cli.output import say

__all__ = ["command_settings"]


def command_settings() -> Settings:
    """Read the settings, and warn of oddities.

    Raises SettingsError, which ends the command.
    """
    settings = load_settings(require_credentials=False)
    for sentence in oddities(settings.names()):
        say(f"warning: {sentence}", err=True)
    return settings
