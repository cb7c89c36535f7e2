"""The command line: ``coupontools-worker COMMAND``; one module for each command."""

from workers.cli.main import build_app, main

__all__ = ["build_app", "main"]
