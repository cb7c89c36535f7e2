"""For the recording run of `make mutants`: note for each test which lines it executes, in this process, in those it starts and in Redis."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# Import the function itself: tests replace the clocks in the module `time`.
from time import monotonic
from typing import Any

import pytest
from executed import FOLDERS
from recorder import Recorder

from workers.embedded import EmbeddedRedis

ROOT = Path(os.environ["MUTANTS_COPY"])
OUT = Path(os.environ["MUTANTS_OUT"]) / os.environ.get("PYTEST_XDIST_WORKER", "main")
#: Python runs this first in every process that a test starts; tests pass on the PYTHONPATH that leads to it.
SITE = """
import sys
from pathlib import Path
sys.path.insert(1, {scripts!r})
from executed import FOLDERS
from recorder import Recorder
here = Path(__file__).parent
Recorder(Path({root!r}), FOLDERS).begin(here / ((here / "current").read_text() + ".processes"))
"""
LUA_LINE = re.compile(rb"@@(\S+:\d+)")

recorder = Recorder(ROOT, FOLDERS)
servers: dict[Path, int] = {}
lua_lines: set[str] = set()
durations: dict[str, float] = {}
#: Tests may fail here, with changed scripts and more slowly; such a test is not run for any mutant.
failed: set[str] = set()
numbers = itertools.count(1)


def harvest(server: Any) -> None:
    """Read what scripts have written to the log of a server since the last time."""
    if server._log.exists():  # noqa: SLF001 - a tool of this project
        with server._log.open("rb") as log:  # noqa: SLF001
            log.seek(servers.get(server, 0))
            lua_lines.update(found.decode() for found in set(LUA_LINE.findall(log.read())))
            servers[server] = log.tell()


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the folder of this process."""
    if config.getoption("numprocesses", None):
        return
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "sitecustomize.py").write_text(SITE.format(scripts=str(Path(__file__).parent), root=str(ROOT)))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(OUT), os.environ["PYTHONPATH"]])
    launch, leave = EmbeddedRedis.launch, EmbeddedRedis.__exit__

    def launched(self: Any, *arguments: str) -> None:
        servers.setdefault(self, 0)
        launch(self, *arguments)

    def left(self: Any, *error: Any) -> None:
        harvest(self)
        servers.pop(self, None)
        leave(self, *error)

    EmbeddedRedis.launch, EmbeddedRedis.__exit__ = launched, left  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Record one test."""
    number = next(numbers)
    for server in servers:
        harvest(server)
    lua_lines.clear()
    (OUT / "current").write_text(str(number))
    recorder.begin(OUT / f"{number}.lines")
    try:
        return (yield)
    finally:
        sys.settrace(None)
        seconds = durations.pop(item.nodeid, 0.0)
        for server in servers:
            harvest(server)
        lines = set((OUT / f"{number}.lines").read_text().split()) | lua_lines
        processes = OUT / f"{number}.processes"
        # A sandbox executes no line that is recorded, so it does not count as a process.
        theirs = processes.read_text().split() if processes.exists() else []
        lines.update(theirs)
        told = {"test": item.nodeid, "seconds": seconds, "processes": bool(theirs), "lines": sorted(lines)}
        if item.nodeid not in failed:
            with (OUT / "tests.jsonl").open("a", encoding="utf-8") as out:
                out.write(json.dumps(told) + "\n")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Measure a test without what it shares with others."""
    began = monotonic()
    try:
        return (yield)
    finally:
        durations[item.nodeid] = monotonic() - began


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note which tests fail."""
    if report.failed:
        failed.add(report.nodeid)
