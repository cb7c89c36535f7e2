"""The page that Prometheus reads: what all worker processes of a `run` have counted, and the state of Redis."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from config import Settings
from workers.metrics.counts import Counts

__all__ = ["FOLDER_VARIABLE", "MetricsUnavailable", "exposition"]

#: The variable by which prometheus_client learns the folder where the processes of one `run` keep their numbers.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class MetricsUnavailable(Exception):  # noqa: N818 - says what is missing
    """METRICS_PORT is set, but cannot be served: install the extra, or choose another port."""


@contextmanager
def exposition(settings: Settings, port: int) -> Iterator[Callable[[int], None]]:
    """Serve metrics while worker processes run. Yield a function to call with the process id of each that ended.

    Worker processes that are started meanwhile find the folder for their numbers in the environment.

    Raises:
        MetricsUnavailable: with a sentence.
    """
    if importlib.util.find_spec("prometheus_client") is None:
        raise MetricsUnavailable(
            "METRICS_PORT: needs the extra `prometheus`: pip install 'coupontools-worker[prometheus]'"
        )
    # Only here: worker processes import this module, too, and serve nothing.
    from prometheus_client import CollectorRegistry, make_wsgi_app  # noqa: PLC0415

    from workers.metrics.server import MetricsServer  # noqa: PLC0415
    from workers.metrics.state import StateCollector  # noqa: PLC0415

    with _folder() as (folder, counts):
        registry = CollectorRegistry()
        registry.register(counts)
        state = StateCollector(settings)
        registry.register(state)
        host = settings.metrics_host
        try:
            server = MetricsServer(host, port, make_wsgi_app(registry))
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "there is no such host"
            raise MetricsUnavailable(
                f"METRICS_HOST, METRICS_PORT: cannot listen on {host}, port {port}: {why}"
            ) from None
        os.environ[FOLDER_VARIABLE] = folder
        try:
            yield counts.process_ended
        finally:
            del os.environ[FOLDER_VARIABLE]
            server.stop()
            state.close()


@contextmanager
def _folder() -> Iterator[tuple[str, Counts]]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="coupontools-metrics-")
    except OSError as error:
        raise MetricsUnavailable(f"TMPDIR: no folder for metrics can be made: {error.strerror}") from None
    with folder as path:
        try:
            counts = Counts(path)
        except OSError as error:
            raise MetricsUnavailable(f"TMPDIR: no room for metrics: {error.strerror}") from None
        yield path, counts
