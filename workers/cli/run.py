"""`run`: the worker."""

from __future__ import annotations

from typing import Annotated

import typer

from actors import JOBS
from config import load_settings, setup_logging
from workers.metrics import MetricsUnavailable, exposition
from workers.supervisor import Supervisor

__all__ = ["run"]


def run(
    processes: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; else WORKER_PROCESSES.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Jobs in flight in each process; else WORKER_CONCURRENCY.")
    ] = None,
    queues: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these queues: contacts, groups, webhooks, reads.")
    ] = None,
) -> None:
    """Run the worker until SIGTERM, then drain and exit 0.

    Examples:

        coupontools-worker run

        coupontools-worker run --processes 4 --concurrency 128

        coupontools-worker run --queues webhooks,groups
    """
    settings = load_settings()
    known = sorted({job.queue for job in JOBS.values()})
    wanted = [name.strip() for name in (queues or "").split(",") if name.strip()]
    if unknown := sorted(set(wanted).difference(known)):
        raise typer.BadParameter(
            f"no such queue: {', '.join(unknown)}; known are {', '.join(known)}", param_hint="--queues"
        )
    setup_logging(settings.log_format, settings.log_level)
    try:
        with exposition(settings) as process_ended:
            supervisor = Supervisor(
                processes=processes or settings.worker_processes,
                concurrency=concurrency or settings.worker_concurrency,
                queues=wanted,
                shutdown_seconds=settings.shutdown_seconds,
                on_exit=process_ended,
            )
            code = supervisor.run()
    except MetricsUnavailable as error:
        typer.echo(str(error), err=True)
        code = 2
    raise typer.Exit(code)
