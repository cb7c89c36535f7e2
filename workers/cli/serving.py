"""What the commands that serve HTTP share: their log, their listening socket, and their end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import typer

from config import Settings, setup_logging
from config.env_file import oddities
from config.spared import spared
from workers.cli.output import say
from workers.http_server import CannotListen
from workers.signals import held_back

with spared():
    # Imported here first: later imports do not change what is loaded.
    import redis
    import structlog

    from workers.redis_link import sync_client
    from workers.worker_list import wrong_pair

__all__ = ["host_option", "port_option", "serving"]


def host_option(setting: str) -> Any:
    """Return the option for the address; ``setting`` gives it when the option is left out."""
    return typer.Option(help=f"Address to listen on; by default {setting}.")


def port_option(setting: str) -> Any:
    """Return the option for the port; ``setting`` gives it when the option is left out."""
    return typer.Option(
        min=0, max=65535, help=f"Port to listen on; by default {setting}. 0 takes a free one."
    )


def _odd_pair(settings: Settings) -> list[str]:
    """Return what is wrong with our key names, if Redis answers. It does not stop the command from serving: a webhook comes only once."""
    with suppress(redis.RedisError), sync_client(settings.redis_url) as client:
        if problem := wrong_pair(client, settings):
            return [problem]
    return []


@contextmanager
def serving(settings: Settings, logger: str) -> Iterator[None]:
    """Warn of odd settings in the log `logger` before a server is run. End the command with exit code 1 if it cannot listen."""
    setup_logging(settings.log_format, settings.log_level)
    log = structlog.get_logger(logger)
    for sentence in [*oddities(settings.names()), *_odd_pair(settings)]:
        log.warning("settings.odd", problem=sentence)
    try:
        # Hold back a signal that comes before the server handles signals.
        with held_back():
            yield
    except CannotListen as error:
        say(str(error), err=True)
        raise typer.Exit(1) from None
