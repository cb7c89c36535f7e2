"""The names of the queues, of what can be held, and of the reasons. A command that only looks needs no more of the jobs' code."""

from __future__ import annotations

from typing import Final, Literal, get_args

__all__ = ["HOLD_KINDS", "QUEUES", "SCOPES", "HoldKind"]

#: Every queue, the most urgent first.
QUEUES: Final = ("webhooks", "groups", "contacts", "reads", "bulk")
#: What can be held: all work of the account, or one channel's.
SCOPES: Final = ("account", "sms", "email")
#: Why work is held: the API refuses it or does not answer, an operator paused it, or the API asks for a pause.
HoldKind = Literal["refused", "outage", "paused", "asked"]
HOLD_KINDS: Final[tuple[HoldKind, ...]] = get_args(HoldKind)
