"""What the commands `pause` and `resume` share."""

from __future__ import annotations

from typing import Annotated

import typer

from config.names import SCOPES
from workers.cli.command import check_known
from workers.cli.output import say
from workers.cli.pair import check_pair
from workers.cli.settings import command_settings
from workers.pausing import Word, change_pause, changed_words
from workers.redis_link import sync_client
from workers.worker_list import AccountUnknown

__all__ = ["Scope", "carry_out"]

Scope = Annotated[
    str, typer.Option("--scope", metavar="SCOPE", help=f"What to pause or resume: {', '.join(SCOPES)}.")
]


def carry_out(word: Word, scope: str, reason: str = "") -> None:
    """Pause or resume a scope, and say what came of it."""
    check_known("scope", scope, SCOPES, "--scope")
    settings = command_settings()
    with sync_client(settings.redis_url) as client:
        check_pair(client, settings)
        try:
            changed = change_pause(client, settings, word, scope, reason)
        except AccountUnknown as error:
            say(f"nothing was done: {error}", err=True)
            raise typer.Exit(1) from None
    typer.echo(changed_words(word, scope, changed=changed))
