"""Delivery imports no job, and nothing of the processes that run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import delivery

FOLDER = Path(delivery.__file__).parent
# Loading the HTTP library takes a third of the time in which a command starts, and only a worker process calls the API.
FOREIGN = {"actors", "aiohttp", "dramatiq", "email_validator", "httpx", "workers"}


def test_no_file_of_delivery_loads_a_job_the_broker_or_the_http_library() -> None:
    modules = ["delivery", *(f"delivery.{path.stem}" for path in sorted(FOLDER.glob("[!_]*.py")))]
    program = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=FOLDER.parent
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & FOREIGN
