"""`run`: the worker."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from config import Settings, load_settings, setup_logging
from config.env_file import oddities
from config.names import QUEUES
from config.settings import MOST_CONCURRENCY, MOST_PROCESSES
from config.spared import spared
from workers.cli.command import check_known
from workers.signals import held_back

__all__ = ["run"]

log = logging.getLogger("workers.run")


def run(
    processes: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_PROCESSES, help="Worker processes; by default WORKER_PROCESSES."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_CONCURRENCY, help="Jobs in flight in each process; by default WORKER_CONCURRENCY."
        ),
    ] = None,
    queues: Annotated[
        str | None, typer.Option(metavar="A,B", help=f"Only these queues: {', '.join(QUEUES)}.")
    ] = None,
) -> None:
    """Run the worker until SIGTERM, then drain and exit 0.

    Examples:

        coupontools-worker run

        coupontools-worker run --processes 4 --concurrency 128

        coupontools-worker run --queues webhooks,groups
    """
    settings = load_settings()
    _warn(settings)
    _check_jobs()
    wanted = [name.strip() for name in (queues or "").split(",") if name.strip()]
    if queues is not None and not wanted:
        # No name at all would mean all queues, which is not what was asked for.
        raise typer.BadParameter(
            f"names no queue; known are {', '.join(QUEUES)}, or leave it out for all", param_hint="--queues"
        )
    for name in wanted:
        check_known("queue", name, QUEUES, "--queues")
    # The supervisor lives as long as the worker, and needs none of the modules that read the options and the settings. It
    # replaces this process, so that their memory is free again.
    supervisor = [
        sys.executable,
        # Import nothing from the working directory: a folder there may be called config or workers, too.
        "-P",
        "-m",
        "workers.supervisor",
        f"--processes={processes or settings.worker_processes}",
        f"--concurrency={concurrency or settings.worker_concurrency}",
        f"--queues={','.join(wanted)}",
        f"--shutdown-seconds={settings.shutdown_seconds}",
        f"--heartbeat-seconds={settings.worker_heartbeat_seconds}",
        f"--log-format={settings.log_format}",
        f"--log-level={settings.log_level}",
        *([f"--metrics-port={settings.metrics_port}"] if settings.metrics_port else []),
    ]
    # Hold back a signal that comes before the supervisor handles signals.
    with held_back():
        os.execv(sys.executable, supervisor)  # noqa: S606 - no shell is needed


def _warn(settings: Settings) -> None:
    """Warn of odd settings in the log, once for all processes."""
    if sentences := oddities(settings.names()):
        setup_logging(settings.log_format, settings.log_level, with_structlog=False)
    for sentence in sentences:
        log.warning("settings.odd", extra={"problem": sentence})


def _check_jobs() -> None:
    """Report a job that lacks something once, here. Otherwise each worker process would report it, and fail to start again and again."""
    try:
        with spared():
            import actors  # noqa: F401, PLC0415 - so that a wrong setting is reported first, without waiting for this
    except TypeError as error:
        raise SystemExit(f"coupontools-worker: {error}") from None
