"""Commands run inside the test's own process, since to start Python for each takes a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from typer.testing import CliRunner

from workers.cli.main import COMMANDS, build_app, call


@dataclass(frozen=True)
class Done:
    """What a command did; named as subprocess names it."""

    returncode: int
    stdout: str
    stderr: str


def run_command(*arguments: str, environment: Mapping[str, str], stdin: str | None = None) -> Done:
    """Runs a command to its end. Not from a thread, since it takes the standard streams; not what becomes another program."""
    with CliRunner().isolation(input=stdin, env=environment) as (out, err, _):
        try:
            call(build_app(*(name for name in arguments[:1] if name in COMMANDS)), arguments)
        except SystemExit as end:
            code = end.code
        assert isinstance(code, int)
        return Done(code, out.getvalue().decode(), err.getvalue().decode())
