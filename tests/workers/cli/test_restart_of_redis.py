"""Each command that waits or follows goes on when Redis is back, and says so."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import House, wait_for


class Running:
    """A command that runs while Redis is restarted."""

    def __init__(self, house: House, folder: Path, *arguments: str) -> None:
        self.out, self.err = folder / f"{arguments[0]}.out", folder / f"{arguments[0]}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.cli", *arguments],
                env=house.environment(),
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
            )

    def has_said(self, text: str, *, err: bool = False) -> bool:
        return text in (self.err if err else self.out).read_text(encoding="utf-8")


@contextmanager
def commands(house: House, *many: tuple[str, ...]) -> Iterator[list[Running]]:
    with tempfile.TemporaryDirectory() as folder:
        running = [Running(house, Path(folder), *arguments) for arguments in many]
        try:
            yield running
        finally:
            for one in running:
                one.process.kill()
                one.process.wait(timeout=240)


@pytest.mark.chaos
def test_commands_that_wait_or_follow_outlive_a_restart_of_redis(fragile_house: House) -> None:
    house = fragile_house
    house.worker()
    assert house.run("pause").returncode == 0
    with commands(
        house,
        ("enqueue", "list_groups", "--channel", "sms", "--wait", "--json"),
        ("events", "--follow", "--json"),
        ("status", "--watch", "--json"),
    ) as running:
        for one in running:
            wait_for(lambda one=one: one.has_said("{"), what=f"the first line of {one.out.name}")
        house.server.kill()
        for one in running:
            wait_for(
                lambda one=one: one.has_said("; waiting for it", err=True),
                what=f"{one.err.name} tells of the outage",
            )
        house.server.start()
        for one in running:
            wait_for(
                lambda one=one: one.has_said("Redis is back", err=True), what=f"{one.err.name} tells its end"
            )
        assert house.run("resume").returncode == 0
        asked, followed, _ = running
        assert asked.process.wait(timeout=240) == 0
        answer = json.loads(asked.out.read_text(encoding="utf-8").splitlines()[-1])
        assert answer["type"] == "coupontools.groups.listed"
        wait_for(lambda: followed.has_said(answer["id"]), what="the event is followed")
