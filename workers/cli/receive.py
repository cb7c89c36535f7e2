"""`receive`: takes webhooks over HTTP."""

from __future__ import annotations

from typing import Annotated

from config.process_settings import load_receiver_settings
from workers.cli.serving import host_option, port_option, serving
from workers.receiver import serve

__all__ = ["receive"]


def receive(
    host: Annotated[str | None, host_option("RECEIVER_HOST")] = None,
    port: Annotated[int | None, port_option("RECEIVER_PORT")] = None,
) -> None:
    """Take webhooks over HTTP until SIGTERM, then answer the requests that have begun and exit 0.

    `POST /webhooks/RECEIVER_TOKEN` enqueues `verify_webhook` and answers 200 once Redis has the job; `GET /health` answers 200 while the
    process turns. A proxy in front of it has to add TLS; see docs/webhooks.md.

    Examples:

        coupontools-worker receive

        coupontools-worker receive --host 0.0.0.0 --port 9000
    """
    settings = load_receiver_settings()
    with serving(settings, "workers.receiver"):
        serve(
            settings,
            host=settings.receiver_host if host is None else host,
            port=settings.receiver_port if port is None else port,
        )
