"""Runs commands to their end, in the test's own process or, where a test needs that, in another: starting Python takes a second."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

from typer.testing import CliRunner

from tests.harness.nursling import Nursery
from tests.harness.waiting import PATIENCE
from workers.cli.main import COMMANDS, build_app, call


@dataclass(frozen=True)
class Done:
    """The result of a command, with the names that subprocess uses."""

    returncode: int
    stdout: str
    stderr: str


def run_command(*arguments: str, environment: Mapping[str, str], stdin: str | None = None) -> Done:
    """Run a command to its end. Not in a thread, because this replaces the standard streams; not a command that execs another program."""
    with CliRunner().isolation(input=stdin, env=environment) as (out, err, _):
        try:
            call(build_app(*(name for name in arguments[:1] if name in COMMANDS)), arguments)
        except SystemExit as end:
            code = end.code
        assert isinstance(code, int)
        return Done(code, out.getvalue().decode(), err.getvalue().decode())


def run_process(
    *arguments: str, environment: Mapping[str, str], stdin: str | None = None, nursery: Nursery | None = None
) -> Done:
    """Run a command to its end as a process of its own, which the ``nursery`` starts if one is given."""
    if nursery is None:
        done = subprocess.run(
            [sys.executable, "-m", "workers.cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=60 * PATIENCE,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write((stdin or "").encode())
        given.seek(0)
        process = nursery.start([*arguments], environment, out, stderr=err, stdin=given)
        try:
            code = process.wait(timeout=60 * PATIENCE)
        finally:
            process.kill()
        for stream in (out, err):
            stream.seek(0)
        return Done(code, out.read().decode(), err.read().decode())
