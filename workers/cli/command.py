"""The classes of all commands: their errors about options are in our words."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from config.plain import plain
from config.plain_words import in_plain_words, no_such

__all__ = ["Command", "Group", "check_known"]


def _first_paragraph(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())


#: An error about an option repeats its value. A longer error is cut to this many characters at its beginning and at its end.
BEGINNING, END = 700, 300


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Make errors safe to print: the value of an option that they repeat must not control the terminal, nor fill it."""
    try:
        yield
    except typer.TyperException as error:
        text = getattr(error, "message", None)
        if isinstance(text, str):
            if len(text) > BEGINNING + END:
                text = f"{text[:BEGINNING]} ... {text[-END:]}"
            setattr(error, "message", plain(text))  # noqa: B010 - the class that has it is not public
        raise


class Group(TyperGroup):
    """Several commands under one name; its line in the list of commands is a whole sentence."""

    def make_context(self, *arguments: Any, **more: Any) -> typer.Context:
        """Read the group's own options."""
        with _plain_errors():
            return super().make_context(*arguments, **more)  # type: ignore[return-value]

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Read the options of the command that is asked for, and carry it out."""
        with _plain_errors():
            return super().invoke(ctx)

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return the first paragraph of the help: a list without boxes would cut it to ``limit`` characters."""
        del limit
        return _first_paragraph(self.help)


class Command(TyperCommand):
    """A command whose usage errors say what would be right; its line in the list of commands is a whole sentence."""

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return the first paragraph of the help, as for a group."""
        del limit
        return _first_paragraph(self.help)

    def format_help_text(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the help; no line is broken at a hyphen, so that an option can be copied whole."""
        del ctx
        for paragraph in inspect.cleandoc(self.help or "").split("\n\n"):
            inner = len(paragraph) - len(paragraph.lstrip(" "))
            indent = " " * (formatter.current_indent + 2 + inner)
            lines = textwrap.wrap(
                " ".join(paragraph.split()),
                formatter.width,
                initial_indent=indent,
                subsequent_indent=indent,
                break_on_hyphens=False,
            )
            formatter.write("\n" + "\n".join(lines) + "\n")

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the options.

        Raises:
            typer.BadParameter: one of them is wrong.
        """
        try:
            rest = super().parse_args(ctx, args)
        except typer.BadParameter as error:
            # Imported only for an error: every command would load Pydantic.
            from pydantic import ValidationError  # noqa: PLC0415

            if isinstance(error.__cause__, ValidationError):
                entry = error.__cause__.errors(include_url=False)[0]
                error.message = f"{in_plain_words(entry)}; got {str(entry['input'])[:100]!r}"
            raise
        for parameter in self.params:
            # The name of a file may be any bytes.
            if not (parameter.metavar or "").startswith("FILE"):
                _check_text(ctx.params.get(str(parameter.name)), parameter)
        return rest


def _check_text(given: object, parameter: Any) -> None:
    """Check that an option's value is text: a terminal or a script may give other bytes, which nothing could store or print later.

    Raises:
        typer.BadParameter: it is no text.
    """
    texts = given if isinstance(given, list | tuple) else (given,)
    try:
        for text in texts:
            if isinstance(text, str):
                text.encode()
    except UnicodeEncodeError:
        name = max(parameter.opts, key=len) if parameter.opts[0].startswith("-") else parameter.metavar
        raise typer.BadParameter("must be UTF-8 text", param_hint=name) from None


def check_known(what: str, given: str | None, known: Collection[str], option: str) -> None:
    """Check that the value of an option, if it is given, is one of the known names.

    Raises:
        typer.BadParameter: it is not.
    """
    if given is not None and given not in known:
        raise typer.BadParameter(no_such(what, given, known), param_hint=option)
