"""`pause`: an operator holds all work of the account, or of a channel."""

from __future__ import annotations

from typing import Annotated

import typer

from config.names import SCOPES
from workers.cli.command import check_known
from workers.cli.output import say
from workers.cli.settings import check_pair, command_settings
from workers.pausing import LONGEST_REASON, Word, change_pause, changed_words
from workers.redis_link import sync_client
from workers.worker_list import AccountUnknown

__all__ = ["Scope", "carry_out", "pause"]

Scope = Annotated[
    str, typer.Option("--scope", metavar="SCOPE", help=f"What to pause or resume: {', '.join(SCOPES)}.")
]


def pause(
    scope: Scope = "account",
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; shown by status and in the event.")
    ] = "paused by an operator",
) -> None:
    """Hold work until `resume`: no new call is made, and deadlines stand still.

    Calls in flight go on to their end. `status` and an event show the hold.

    Examples:

        coupontools-worker pause --reason "the vendor moves house"

        coupontools-worker pause --scope sms
    """
    if len(reason) > LONGEST_REASON:
        raise typer.BadParameter(f"must be at most {LONGEST_REASON} characters long", param_hint="--reason")
    carry_out("pause", scope, reason)


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
