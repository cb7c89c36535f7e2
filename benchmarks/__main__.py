"""``python -m benchmarks [NAME ...]``: runs these measurements, or all."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "idle",
    "throughput",
    "rivals",
    "guarantees",
    "growth",
    "queue_depth",
    "read_back",
    "odd_listing",
    "status",
    "import_csv",
    "sizes",
)


def main(names: list[str]) -> int:
    """Run the benchmarks of these names. Return the exit code: 2 for an unknown name."""
    if unknown := sorted(set(names).difference(NAMES)):
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in names or NAMES:
        print(f"== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
