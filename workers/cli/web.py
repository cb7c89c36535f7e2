"""`web`: the operators' page."""

from __future__ import annotations

from typing import Annotated

import typer

from config.settings import load_web_settings
from workers.cli.serving import serve_until_told
from workers.web import serve

__all__ = ["web"]


def web(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else WEB_HOST.")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on; else WEB_PORT. 0 takes a free one."),
    ] = None,
) -> None:
    """Serve the operators' page until SIGTERM, then answer what has begun and exit 0.

    It shows queues, holds, batches, dead letters and where a job is, and nothing without WEB_TOKEN. `GET /health` answers 200 while the
    process turns. TLS is for a proxy in front of it; see docs/web.md.

    Examples:

        coupontools-worker web

        coupontools-worker web --host 0.0.0.0 --port 9000
    """
    settings = load_web_settings()
    serve_until_told(
        settings,
        "workers.web",
        serve,
        host=settings.web_host if host is None else host,
        port=settings.web_port if port is None else port,
    )
