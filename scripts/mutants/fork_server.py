"""Run tests in forks of a process that has imported all libraries: most of what a short run of pytest costs is its start.

Reads a line of JSON (``seconds`` that the run may take, ``tests``: a file with their names, ``files`` that contain them), and prints a
line: the exit code of pytest, or ``late``. Each fork imports the project itself anew, because that is what changes.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

PROJECT = ("actors", "config", "coupontools", "delivery", "sandbox", "tests", "workers")


def warm_up() -> None:
    """Import everything that the project imports, then forget the project."""
    for name in ("workers.cli.main", "workers.process", "sandbox", "tests.conftest", "hypothesis.stateful"):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] in PROJECT]:
        del sys.modules[name]


def run(request: dict[str, object]) -> int:
    """Run these tests in this process."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    os.environ["MUTANT_TESTS"] = str(request["tests"])
    files: list[str] = request["files"]  # type: ignore[assignment]
    return int(pytest.main(["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "plugin", *files]))


def main() -> None:
    """Serve until the input ends."""
    warm_up()
    for line in sys.stdin:
        request = json.loads(line)
        deadline = time.monotonic() + request["seconds"]
        child = os.fork()
        if child == 0:
            os._exit(run(request))
        status = None
        while status is None and time.monotonic() < deadline:
            done, code = os.waitpid(child, os.WNOHANG)
            if done:
                status = os.waitstatus_to_exitcode(code)
            else:
                time.sleep(0.02)
        if status is None:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
        print("late" if status is None else status, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main()
