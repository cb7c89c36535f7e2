"""What the commands `pause` and `resume` share."""

from __future__ import annotations

from typing import Annotated

import typer

from config import load_settings
from config.names import SCOPES
from workers.cli.command import check_known
from workers.pausing import Word, change_pause, changed_words
from workers.redis_link import sync_client

__all__ = ["Scope", "carry_out"]

Scope = Annotated[str, typer.Option("--scope", metavar="SCOPE", help=f"What to hold: {', '.join(SCOPES)}.")]


def carry_out(word: Word, scope: str, reason: str = "") -> None:
    """Pause or resume a scope, and say what came of it."""
    check_known("scope", scope, SCOPES, "--scope")
    settings = load_settings(require_credentials=False)
    with sync_client(settings.redis_url) as client:
        changed = change_pause(client, settings, word, scope, reason)
    typer.echo(changed_words(word, scope, changed=changed))
