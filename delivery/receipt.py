"""The seam between the broker and delivery: under which id and keys a message is outstanding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["MOST_DEATHS", "Receipt"]

#: A message with which so many workers have died is not carried out any more: it only gets its answer.
MOST_DEATHS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Receipt:
    """What settles a message, handed on unread from the broker to delivery's scripts."""

    #: The id under which the message is outstanding.
    id: str
    #: Where this worker's outstanding ids stand, and the messages' bodies.
    acks: str
    bodies: str
    #: Where a message waits until it is due.
    delayed: str
    #: Where dead letters go: ids, bodies, reasons.
    dead: str
    dead_bodies: str
    dead_reasons: str
    #: Tells the broker that the message is no longer this worker's.
    release: Callable[[], None]
    #: How many workers have died with it in hand.
    deaths: int = 0
