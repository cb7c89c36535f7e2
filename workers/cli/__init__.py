"""The command line: ``coupontools-worker COMMAND``; one module for each command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; end the process."""
    if sys.argv[1:] == ["--version"]:
        # Answered here: the parser of the options takes longer to load than Python itself.
        from workers.cli.version import show_version  # noqa: PLC0415

        show_version()
    else:
        from workers.cli.main import run_command_line  # noqa: PLC0415 - only what was asked for is loaded

        run_command_line()
