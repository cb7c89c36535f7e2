"""Ctrl-C and SIGTERM during an import: they are noted, and the import ends where nothing is lost."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["noted_signals"]


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM, so that the import ends between two batches. A second signal ends it at once."""
    signals: list[int] = []

    def note(number: int, _: object) -> None:
        if signals:
            sys.exit(128 + number)
        signals.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
