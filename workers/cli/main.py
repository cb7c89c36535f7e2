"""The command line's root: its commands, and what their exit codes mean."""

from __future__ import annotations

import ast
import gc
import os
import shutil
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

import config
from workers.cli.command import Command, Group
from workers.cli.output import say
from workers.cli.streams import OutputFailed, prepare_streams
from workers.cli.version import show_version

__all__ = ["build_app", "call", "run_command_line"]

#: Every command and its module, in the order of the help; the command's function has the name of the module.
COMMANDS: Final = {
    "run": "run",
    "demo": "demo",
    "sandbox": "sandbox",
    "receive": "receive",
    "web": "web",
    "enqueue": "enqueue",
    "import": "import_csv",
    "events": "events",
    "status": "status",
    "check": "check",
    "contract": "contract",
    "dead": "dead",
    "pause": "pause",
    "resume": "resume",
    "job": "job",
    "cancel": "cancel",
    "batches": "batches",
}
#: From this many columns on, a terminal has room for the names of all options beside their descriptions.
WIDE: Final = 100
#: Set by a shell that asks for completions; the answer needs the options of every command.
COMPLETING: Final = "_COUPONTOOLS_WORKER_COMPLETE"


def build_app(*only: str) -> typer.Typer:
    """Return the command line with all its commands, or with `only` some.

    With one command it starts several times as fast: `status` needs no web server, a health check every few seconds no API client.
    """
    app = _root_alone()
    for name in only or COMMANDS:
        command = getattr(import_module(f"workers.cli.{COMMANDS[name]}"), COMMANDS[name])
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, cls=Group)
        else:
            app.command(name, cls=Command, no_args_is_help=False)(command)
    return app


def run_command_line() -> None:
    """Run the command that the arguments of this process name; end the process."""
    for size in ("COLUMNS", "LINES"):
        # With 0, Rich would believe that the terminal has no room at all, and print nothing.
        if not os.environ.get(size, "").strip("0"):
            os.environ.pop(size, None)
    asked = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if asked in COMMANDS:
        app = build_app(asked)
    elif asked in {"--help", "-h"} and COMPLETING not in os.environ:
        app = _overview()
    else:
        app = build_app()
    prepare_streams()
    # The garbage collector works again from here on, but never scans what is loaded by now.
    gc.freeze()
    gc.enable()
    call(app)


def call(app: typer.Typer, arguments: Sequence[str] | None = None) -> NoReturn:
    """Carry out a command, by default that of this process's own arguments; end by `SystemExit` with its exit code."""
    try:
        app(arguments, prog_name="coupontools-worker")
    except KeyboardInterrupt:
        sys.exit(130)
    except OutputFailed as failure:
        sys.exit(failure.end())
    except Exception as error:
        # Imported only for an error: SettingsError needs pydantic, and not every command needs Redis.
        from redis import RedisError  # noqa: PLC0415

        from workers.redis_link import trouble_of  # noqa: PLC0415

        if isinstance(error, config.SettingsError):
            for line in error.lines:
                say(line, err=True)
            sys.exit(2)
        if isinstance(error, RedisError):
            say(trouble_of(error), err=True)
            sys.exit(1)
        raise
    sys.exit(0)


def _root_alone() -> typer.Typer:
    app = typer.Typer(
        name="coupontools-worker",
        cls=Group,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        # On a narrow terminal the boxes of this mode cut the names of options.
        rich_markup_mode="markdown" if shutil.get_terminal_size().columns >= WIDE else None,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Carries out jobs from Redis at the Coupontools API, once each, and answers each with an event.\n\n"
        "Exit codes: 0 done, 1 failed or some of it failed, 2 wrong usage or settings, 3 the waiting timed out, 130 Ctrl-C.",
    )
    app.callback()(_root)
    return app


def _overview() -> typer.Typer:
    """Return a command line that only lists its commands. It loads none of their modules: together they would load the whole project."""
    app = _root_alone()
    for name, module in COMMANDS.items():
        app.command(name, cls=Command, help=_help_of(module))(_root)
    return app


def _help_of(module: str) -> str | None:
    """Return the help of the command in `module`, read from its source: the function's docstring, or the `help` of its `typer.Typer`."""
    for node in ast.parse(Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) if name == module:
                return ast.get_docstring(node)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(keywords=options)) if name == module:
                return next(str(ast.literal_eval(each.value)) for each in options if each.arg == "help")
    return None


def _version(asked: bool) -> None:
    if asked:
        show_version()
        raise typer.Exit


def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Settings come from the environment, `.env`, or files in SECRETS_DIR."""
