"""Metrics for Prometheus, with the extra `prometheus` and where METRICS_PORT is set: attempts counted in each worker process, the state of
Redis read at each scrape, one exposition for all."""

from workers.metrics.attempts import AttemptMetrics, attempt_metrics
from workers.metrics.exposition import MetricsUnavailable, exposition
from workers.metrics.names import METRICS, Metric

__all__ = ["METRICS", "AttemptMetrics", "Metric", "MetricsUnavailable", "attempt_metrics", "exposition"]
