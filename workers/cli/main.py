"""The command line's root: its commands, and what their exit codes mean."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Final

import redis
import typer

from config import SettingsError, redact_text

__all__ = ["build_app", "main"]

#: Every command and the module that holds it, in the order of the help; the command is called as its module.
COMMANDS: Final = {
    "run": "run",
    "demo": "demo",
    "sandbox": "sandbox",
    "enqueue": "enqueue",
    "import": "import_csv",
    "events": "events",
    "status": "status",
    "dead": "dead",
    "check": "check",
    "contract": "contract",
}


def build_app(only: str | None = None) -> typer.Typer:
    """The command line with all its commands, or with one alone.

    One alone starts several times as fast: `status` needs no web server, and a health check that runs every few seconds no API client.
    """
    app = typer.Typer(
        name="coupontools-worker",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Carries out jobs from Redis at the Coupontools API, once each, and answers each with an event.\n\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage or settings.",
    )
    app.callback()(_root)
    for name in [only] if only else COMMANDS:
        module = import_module(f"workers.cli.{COMMANDS[name]}")
        command = getattr(module, COMMANDS[name])
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name, no_args_is_help=False)(command)
    return app


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"coupontools-worker {version('coupontools-worker')}")
        raise typer.Exit


def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Settings come from the environment, `.env`, or files in SECRETS_DIR."""


def main() -> None:
    """Runs the command line; ends the process."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        build_app(asked if asked in COMMANDS else None)(prog_name="coupontools-worker")
    except SettingsError as error:
        for line in error.lines:
            sys.stderr.write(f"{line}\n")
        sys.exit(2)
    except redis.RedisError as error:
        sys.stderr.write(f"Redis does not answer: {redact_text(str(error))}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
