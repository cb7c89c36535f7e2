"""`web`: the operators' page."""

from __future__ import annotations

from typing import Annotated

from config.process_settings import load_web_settings
from workers.cli.serving import host_option, port_option, serving
from workers.web import serve

__all__ = ["web"]


def web(
    host: Annotated[str | None, host_option("WEB_HOST")] = None,
    port: Annotated[int | None, port_option("WEB_PORT")] = None,
) -> None:
    """Serve the operators' page until SIGTERM, then answer the requests that have begun and exit 0.

    It shows queues, holds, batches, dead letters and where a job is, and imports files; without a token it shows nothing. `GET /health`
    answers 200 while the process turns. A proxy in front of it has to add TLS; see docs/web.md.

    Examples:

        coupontools-worker web

        coupontools-worker web --host 0.0.0.0 --port 9000
    """
    settings = load_web_settings()
    with serving(settings, "workers.web"):
        serve(
            settings,
            host=settings.web_host if host is None else host,
            port=settings.web_port if port is None else port,
        )
