"""What the worker costs, measured on this machine: ``python -m benchmarks NAME``."""

from __future__ import annotations

__all__: list[str] = []
