"""The class of all commands: what is wrong with an option is told in our words."""

from __future__ import annotations

import inspect

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["Command", "Group"]


def _first_paragraph(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())


class Group(TyperGroup):
    """Several commands under one name; its line in the list of commands is a whole sentence."""

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

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the options.

        Raises:
            typer.BadParameter: one of them is wrong.
        """
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            # Only now: every command would load Pydantic.
            from pydantic import ValidationError  # noqa: PLC0415

            from config.plain_words import in_plain_words  # noqa: PLC0415

            if isinstance(error.__cause__, ValidationError):
                entry = error.__cause__.errors(include_url=False)[0]
                error.message = f"{in_plain_words(entry)}; got {str(entry['input'])[:100]!r}"
            raise
