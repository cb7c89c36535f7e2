"""Commands run inside the test process, where starting a process of their own would show nothing more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from tests.harness import House
from workers.cli.main import build_app


@dataclass(frozen=True)
class Done:
    """What a command did; named as subprocess names it."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def command(house: House) -> Command:
    """Runs a command against the house's Redis."""

    def run(*arguments: str, stdin: str | None = None, **settings: object) -> Done:
        result = CliRunner().invoke(
            build_app(arguments[0]), list(arguments), input=stdin, env=house.environment(**settings)
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return run
