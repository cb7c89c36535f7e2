"""Metrics for Prometheus, with the extra `prometheus` and where METRICS_PORT is set: attempts counted in each worker process, the state of
Redis read at each scrape, one exposition for all.

Worker processes count with `workers.metrics.attempts`, which needs Dramatiq; the supervisor, which serves the numbers, does not.
"""

from workers.metrics.exposition import MetricsUnavailable, exposition
from workers.metrics.names import METRICS, Metric

__all__ = ["METRICS", "Metric", "MetricsUnavailable", "exposition"]
