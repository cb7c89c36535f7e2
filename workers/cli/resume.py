"""`resume`: ends an operator's pause."""

from __future__ import annotations

from workers.cli.pausing import Scope, carry_out

__all__ = ["resume"]


def resume(scope: Scope = "account") -> None:
    """End a pause: what it has parked comes back in the order in which it was enqueued.

    A hold that the API caused goes on by itself; `status` shows what there is.

    Examples:

        coupontools-worker resume

        coupontools-worker resume --scope sms
    """
    carry_out("resume", scope)
