"""What there is by name, for whoever only looks, too: queues, and what can be held, and why."""

from __future__ import annotations

from typing import Final, Literal, get_args

__all__ = ["HOLD_KINDS", "QUEUES", "SCOPES", "HoldKind"]

#: Every queue there is, in the order of urgency. Whoever only looks needs their names, and not all that carries out their jobs.
QUEUES: Final = ("webhooks", "groups", "contacts", "reads", "bulk")
#: What can be held: all work of the account, or one channel's.
SCOPES: Final = ("account", "sms", "email")
#: Why: the API refuses or does not answer, an operator paused it, or the API asks for a pause.
HoldKind = Literal["refused", "outage", "paused", "asked"]
HOLD_KINDS: Final[tuple[HoldKind, ...]] = get_args(HoldKind)
