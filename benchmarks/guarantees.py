"""What a guarantee costs: the worker as it is, beside a worker without the guarantee, or with more of them."""

from __future__ import annotations

from benchmarks.turns import Way, compare
from tests.harness import House


def _lazy_disk(place: House) -> None:
    place.redis.config_set("appendfsync", "everysec")


def main() -> None:
    """Measure each by turns with the worker as it is."""
    compare(
        Way("as it is"),
        Way("no line for each job (LOG_LEVEL=WARNING)", {"LOG_LEVEL": "WARNING"}),
        Way("Redis writes to disk once a second, not at each change", prepare=_lazy_disk),
        Way("each answer pushed to a list and counted in a batch", job={"reply_to": "me", "batch_id": "all"}),
        Way("two processes of 32", arguments=("--processes", "2", "--concurrency", "32")),
    )
