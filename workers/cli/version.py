"""`--version`."""

from __future__ import annotations

import sys
from importlib.metadata import version

__all__ = ["show_version"]


def show_version() -> None:
    """Print the name and version of what is installed."""
    sys.stdout.write(f"coupontools-worker {version('coupontools-worker')}\n")
