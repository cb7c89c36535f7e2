"""`pause`: an operator holds all work of the account, or of a channel."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.pausing import Scope, carry_out
from workers.pausing import LONGEST_REASON

__all__ = ["pause"]


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
