"""`receive`: takes webhooks over HTTP."""

from __future__ import annotations

from typing import Annotated

import structlog
import typer

from config import Settings, setup_logging
from config.env_file import oddities
from config.settings import load_receiver_settings
from workers.cli.output import say
from workers.receiver import CannotListen, serve
from workers.signals import held_back

__all__ = ["receive"]

log = structlog.get_logger("workers.receiver")


def receive(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else RECEIVER_HOST.")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on; else RECEIVER_PORT. 0 takes a free one."),
    ] = None,
) -> None:
    """Take webhooks over HTTP until SIGTERM, then answer what has begun and exit 0.

    `POST /webhooks/RECEIVER_TOKEN` enqueues `verify_webhook` and answers 200 once Redis has the job; `GET /health` answers 200 while the
    process turns. TLS is for a proxy in front of it; see docs/webhooks.md.

    Examples:

        coupontools-worker receive

        coupontools-worker receive --host 0.0.0.0 --port 9000
    """
    settings = load_receiver_settings()
    setup_logging(settings.log_format, settings.log_level)
    _warn(settings)
    try:
        # A signal that comes before the server listens waits for it.
        with held_back():
            serve(
                settings,
                host=settings.receiver_host if host is None else host,
                port=settings.receiver_port if port is None else port,
            )
    except CannotListen as error:
        say(str(error), err=True)
        raise typer.Exit(1) from None


def _warn(settings: Settings) -> None:
    for sentence in oddities(settings.names()):
        log.warning("settings.odd", problem=sentence)
