"""`resume`: ends an operator's pause."""

from __future__ import annotations

from workers.cli.pause import Scope, carry_out

__all__ = ["resume"]


def resume(scope: Scope = "account") -> None:
    """End a pause: the jobs that it has parked come back in the order in which they were enqueued.

    A hold that the API caused is not ended by this, but ends by itself; `status` shows all holds.

    Examples:

        coupontools-worker resume

        coupontools-worker resume --scope sms
    """
    carry_out("resume", scope)
