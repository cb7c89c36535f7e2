"""`--version`."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.metadata import version

__all__ = ["show_version"]


def show_version() -> None:
    """Print the name and version of what is installed."""
    # If standard output is closed, nobody wants to know.
    with suppress(OSError):
        if sys.stdout is not None:
            sys.stdout.write(f"coupontools-worker {version('coupontools-worker')}\n")
            sys.stdout.flush()
