"""What the commands share that serve HTTP: their log, their listening socket, and their end."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol

import typer

from config import Settings, setup_logging
from config.env_file import oddities
from config.spared import spared
from workers.cli.output import say
from workers.http_server import CannotListen
from workers.signals import held_back

with spared():
    # The first import of each counts.
    import redis
    import structlog

    from workers.redis_link import sync_client
    from workers.worker_list import wrong_pair

__all__ = ["host_option", "port_option", "serve_until_told"]


def host_option(setting: str) -> Any:
    """Return the option for the address; ``setting`` is where it comes from when it is left out."""
    return typer.Option(help=f"Address to listen on; else {setting}.")


def port_option(setting: str) -> Any:
    """Return the option for the port, as above."""
    return typer.Option(min=0, max=65535, help=f"Port to listen on; else {setting}. 0 takes a free one.")


class Serve(Protocol):
    """Serves until a signal comes."""

    def __call__(self, settings: Settings, *, host: str, port: int) -> None:
        """Raise CannotListen if the port cannot be bound."""


def _odd_pair(settings: Settings) -> list[str]:
    """Return what is wrong with our key names, as far as Redis answers. It is no reason not to serve: a webhook comes but once."""
    with suppress(redis.RedisError), sync_client(settings.redis_url) as client:
        if problem := wrong_pair(client, settings):
            return [problem]
    return []


def serve_until_told(settings: Settings, logger: str, serve: Serve, *, host: str, port: int) -> None:
    """Serve, and tell in the log of this name what is odd about the settings. Ends the command with 1 where the port is taken."""
    setup_logging(settings.log_format, settings.log_level)
    log = structlog.get_logger(logger)
    for sentence in [*oddities(settings.names()), *_odd_pair(settings)]:
        log.warning("settings.odd", problem=sentence)
    try:
        # A signal that comes before the server listens waits for it.
        with held_back():
            serve(settings, host=host, port=port)
    except CannotListen as error:
        say(str(error), err=True)
        raise typer.Exit(1) from None
