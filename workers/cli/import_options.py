"""The options of `import`, checked before the file is opened: a wrong one would refuse every row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from workers.imports import STDIN, WrongOption
from workers.imports.columns import ERROR_COLUMN, known_columns, same_name
from workers.imports.kept_rows import free_name

__all__ = [
    "check_failed_folder",
    "check_source",
    "check_together",
    "columns_of_file",
    "refused_file",
    "told_as_usage",
]


@contextmanager
def told_as_usage() -> Iterator[None]:
    """Turn a wrong choice into a usage error that names its flag."""
    try:
        yield
    except WrongOption as error:
        raise typer.BadParameter(str(error), param_hint=f"--{error.name.replace('_', '-')}") from None


def check_source(source: Path) -> None:
    """Check that the file exists and that this user may look at it."""
    try:
        if source != STDIN:
            source.stat()
    except OSError as error:
        why = (
            "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        )
        raise typer.BadParameter(f"file '{source}' {why}", param_hint="FILE.csv") from None


def columns_of_file(given: list[str], channel: str) -> dict[str, str]:
    """Return the given columns of the file, each with the known column that it holds."""
    columns: dict[str, str] = {}
    for item in given:
        column, sign, name = (part.strip() for part in item.partition("="))
        problem = None
        if not sign or not name:
            problem = f"must be COLUMN=NAME, e.g. phone=Mobile; got {item!r}"
        elif (column := same_name(column)) not in known_columns(channel):
            problem = f"'{column}' is none of {', '.join(known_columns(channel))}"
        elif column in columns:
            problem = f"'{column}' is given twice: {columns[column]!r} and {name!r}"
        elif same_name(name) in map(same_name, columns.values()):
            problem = f"the column {name!r} is given twice"
        elif same_name(name) == ERROR_COLUMN:
            problem = f"'{ERROR_COLUMN}' is the column for the reason why a row was refused"
        if problem:
            raise typer.BadParameter(problem, param_hint="--column")
        columns[column] = name
    return {name: column for column, name in columns.items()}


def refused_file(given: Path | None, source: Path, *, dry_run: bool) -> Path | None:
    """Return where refused rows go. A dry run keeps them only if a file is given."""
    if given is None and dry_run:
        return None
    if given is not None and os.path.lexists(given):
        raise typer.BadParameter("exists already and is not overwritten", param_hint="--refused")
    target = given or free_name(source, "refused")
    _check_folder(target, "choose another with --refused", "--refused")
    return target


def check_failed_folder(source: Path) -> None:
    """Check now that rows that fail can be written beside the file: the first of them may fail in some hours."""
    _check_folder(
        free_name(source, "failed"), "copy FILE.csv to another folder or give it a shorter name", "--wait"
    )


def check_together(*, wait: bool, lists: bool, dry_run: bool) -> None:
    """Check that a dry run has no option that needs Redis."""
    if dry_run and (wait or lists):
        flag = "--wait" if wait else "--skip-present and --again"
        raise typer.BadParameter(f"only looks at the file; leave {flag} out", param_hint="--dry-run")


def _check_folder(target: Path, instead: str, flag: str) -> None:
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"no file can be created in {target.parent}; {instead}", param_hint=flag)
    try:
        target.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        # Most likely, the name is too long.
        raise typer.BadParameter(
            f"cannot create {target}: {error.strerror}; {instead}", param_hint=flag
        ) from None
