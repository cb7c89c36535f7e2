"""The command line: ``coupontools-worker COMMAND``; one module for each command."""

from __future__ import annotations

import gc
import sys

__all__ = ["main"]

#: The options of `check` that make it a liveness probe.
PROBES = ({"--live"}, {"--live", "--json"})


def main() -> None:
    """Run the command line; end the process."""
    if sys.argv[1:] == ["--version"]:
        # Answered here: the parser of the options takes longer to load than Python itself.
        from workers.cli.version import show_version  # noqa: PLC0415

        show_version()
    elif sys.argv[1:2] == ["check"] and set(sys.argv[2:]) in PROBES:
        # A liveness probe runs every few seconds in each container, for as long as it lives.
        from workers.cli.live import check_live  # noqa: PLC0415

        sys.exit(check_live(as_json="--json" in sys.argv))
    else:
        # While modules are loaded, Python's garbage collector scans them again and again and frees nothing: a tenth of the start.
        gc.disable()
        try:
            from workers.cli.main import run_command_line  # noqa: PLC0415 - only what was asked for is loaded

            run_command_line()
        except KeyboardInterrupt:
            # Ctrl-C while modules are loaded, which takes seconds on a busy machine: Python would print a traceback.
            sys.exit(130)
