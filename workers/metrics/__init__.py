"""Metrics for Prometheus, with the extra `prometheus` and METRICS_PORT set: each worker process counts its attempts, the state of Redis is
read at each scrape, and one page shows both.

Worker processes count with `workers.metrics.attempts`, which needs Dramatiq; the supervisor, which serves the numbers, does not.
"""

from workers.metrics.exposition import MetricsUnavailable, exposition
from workers.metrics.names import METRICS, Metric

__all__ = ["METRICS", "Metric", "MetricsUnavailable", "exposition"]
