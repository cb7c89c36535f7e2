"""The one page that Prometheus reads: what all worker processes of a `run` have counted, and the state of Redis."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from config import Settings
from workers.metrics.attempts import FOLDER_VARIABLE
from workers.metrics.state import StateCollector

__all__ = ["MetricsUnavailable", "exposition"]


class MetricsUnavailable(Exception):  # noqa: N818 - says what is missing
    """METRICS_PORT is set, but cannot be served: install the extra, or choose another port."""


@contextmanager
def exposition(settings: Settings) -> Iterator[Callable[[int], None]]:
    """Serves metrics while worker processes run; answers what to call with the id of each that has ended.

    Does nothing where METRICS_PORT is not set. Processes started meanwhile find the folder for their numbers in the environment.

    Raises:
        MetricsUnavailable: with a sentence.
    """
    if settings.metrics_port is None:
        yield lambda _: None
        return
    if importlib.util.find_spec("prometheus_client") is None:
        raise MetricsUnavailable(
            "METRICS_PORT: needs the extra `prometheus`: pip install 'coupontools-worker[prometheus]'"
        )
    from prometheus_client import CollectorRegistry, multiprocess, start_http_server  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="coupontools-metrics-") as folder:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, path=folder)
        state = StateCollector(settings)
        registry.register(state)
        try:
            # Prometheus asks from another host or container; the numbers hold nothing personal.
            server, thread = start_http_server(settings.metrics_port, addr="0.0.0.0", registry=registry)  # noqa: S104
        except OSError as error:
            raise MetricsUnavailable(
                f"METRICS_PORT: cannot listen on {settings.metrics_port}: {error.strerror}"
            ) from None
        os.environ[FOLDER_VARIABLE] = folder
        try:
            yield lambda pid: multiprocess.mark_process_dead(pid, folder)
        finally:
            del os.environ[FOLDER_VARIABLE]
            server.shutdown()
            server.server_close()
            thread.join()
            state.close()
