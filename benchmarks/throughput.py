"""A busy worker: CPU-seconds per 1,000 jobs and jobs a second, the API answering after 100 ms, 64 jobs in flight."""

from __future__ import annotations

from benchmarks.turns import Way, compare


def main() -> None:
    """Measure one process of 64, without a rate limit."""
    compare(Way("one process of 64"))
