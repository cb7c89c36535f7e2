"""The settlements: a class for each thing that settle.lua can do with a message; and the signal about the account."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, Literal

import orjson

__all__ = [
    "NO_CHANGES",
    "Changes",
    "Done",
    "EndedUnknown",
    "Event",
    "Failed",
    "Lost",
    "MorePages",
    "NoSettlement",
    "Postponed",
    "Replayed",
    "SetAside",
    "Settled",
    "Settlement",
    "Signal",
    "Waiting",
]


@cache
def _names(kind: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields; asking dataclasses anew for every job is slow."""
    return tuple(each.name for each in fields(kind))


def _given(told: Any) -> dict[str, Any]:
    """Return the fields of a dataclass. Lua takes JSON's null for a value, so fields that are None are left out."""
    values = ((name, getattr(told, name)) for name in _names(told.__class__))
    return {name: value for name, value in values if value is not None}


#: An event as the stream holds it: its type and its JSON.
Event = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What becomes of a message and of its job's record."""

    op: ClassVar[str]
    #: How the message counts in its batch and its minute: ``succeeded``, ``replayed``, or ``failed:`` and the kind; None if not answered.
    counted: ClassVar[str | None] = None
    #: Does the record belong to this claim? If not, the message is settled whatever its record.
    owned: bool = True

    def arguments(self) -> dict[str, Any]:
        """Return the script's arguments."""
        return {"op": self.op} | _given(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MorePages(Settlement):
    """A part of a long listing's answer, to be staged; more follows under the same lease, and none is written before all are staged."""

    op = "pages"
    events: list[Event]
    #: What a replay answers, page by page; empty for a listing that is not remembered.
    pages: list[str]
    #: The number of this part, by which a repeat is recognised. Part 0 replaces whatever is staged.
    batch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Settlement):
    """The job was carried out: its event, and the outcome, if it is remembered."""

    op = "done"
    counted = "succeeded"
    events: list[Event]
    outcome: str | None = None
    #: A group id that no other job may take for its own.
    claim: str | None = None
    #: What a replay answers, page by page, of a listing that is settled at once.
    pages: list[str] | None = None
    #: Are all events staged, by `MorePages`? Then each settlement writes some of them, and is repeated until none is left.
    staged: bool | None = None
    #: JSON: what the API answered to the job's question; and is that good for a while?
    told: str | None = None
    lasts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Settlement):
    """The job ends without success: its event, and a dead letter if there is a reason; the key is free."""

    op = "failed"
    events: list[Event]
    reason: str | None
    #: The kind of the failure.
    kind: str = "internal"

    @property
    def counted(self) -> str:  # type: ignore[override]
        """Count failures by kind."""
        return f"failed:{self.kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedUnknown(Failed):
    """The same, but nobody knows whether a lost call happened: the key is kept, so that a retry reads back first."""

    op = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed(Settlement):
    """The message is answered from the record of another one, or without any."""

    op = "replay"
    events: list[Event]
    owned: bool = False
    #: Was the job carried out before? If not, there was nothing to carry out.
    before: bool = True

    @property
    def counted(self) -> str:  # type: ignore[override]
        """Count a job that needs no call as succeeded."""
        return "replayed" if self.before else "succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Settlement):
    """The call certainly did not happen: the job may call again, after a delay in milliseconds."""

    op = "wait"
    delay: int = 0
    #: Why, in words; the failure repeats it if the deadline passes first.
    why: str | None = None
    #: Does the message stay in this worker's hands?
    keep: bool = False
    #: Was this no attempt?
    uncount: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost(Waiting):
    """The same, but the call may have happened: it is read back before any further call."""

    op = "lost"
    #: Did the answer say OK about another contact or group than was asked for?
    another: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed(Settlement):
    """The message alone waits, for ``delay`` milliseconds; nothing is known of its record."""

    op = "later"
    delay: int
    owned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside(Settlement):
    """The message's id was answered before, for another message: an event, and a dead letter."""

    op = "rejected"
    events: list[Event]
    reason: str
    owned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSettlement(Settlement):
    """The message stays as it is; only the signal about the account counts."""

    op = "signal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What a call showed about the account; see signal.lua."""

    word: Literal["well", "refused", "outage", "found", "none"]
    #: The kind of call, and which one it was.
    call: str = ""
    about: str = ""
    #: The scope of the job that made the call.
    channel: str = "account"
    #: What a refusal concerns: the account, or a channel.
    scope: str = "account"
    code: str = ""
    text: str = ""
    #: Milliseconds since the call began.
    took: int = 0
    #: Milliseconds during which nobody may call.
    pause: int = 0
    #: Did the call fail before a connection was open?
    connect: bool = False
    #: If no answer could be read: the name of the call, which counts once towards an outage until it is answered.
    broken: str | None = None
    #: Was the call refused without a code of the vendor's, so that nobody knows whether the account or this call alone is refused?
    bare: bool = False
    #: May the call have been carried out all the same?
    lost: bool = False
    #: Was the secret refused, and not the account?
    by_secret: bool = False
    #: The host and the process whose call it was.
    worker: str = ""

    def arguments(self) -> dict[str, Any]:
        """Return the script's arguments. For a call that went well, as most do, these few are enough."""
        if self.word == "well" and not self.pause:
            names = ("word", "call", "about", "channel", "took")
            return {name: getattr(self, name) for name in names}
        return _given(self)


@dataclass(frozen=True, slots=True)
class Changes:
    """The holds that a script began and ended; see account.lua for the fields of each."""

    began: tuple[dict[str, Any], ...] = ()
    ended: tuple[dict[str, Any], ...] = ()

    @classmethod
    def read(cls, answer: bytes) -> Changes:
        """Parse the answer of a script."""
        if not answer:
            return NO_CHANGES
        told = orjson.loads(answer)
        return cls(tuple(told.get("began", ())), tuple(told.get("ended", ())))


NO_CHANGES = Changes()


@dataclass(frozen=True, slots=True)
class Settled:
    """What settle.lua answered."""

    #: False when the record belonged to another claim: nothing was written.
    ours: bool
    #: The message's id was answered before, for another message: only the record was written, and the message must still be set aside.
    used: bool
    changes: Changes = NO_CHANGES
    #: Staged events are left: repeat the settlement.
    more: bool = False

    @property
    def answered(self) -> bool:
        """Was the message answered, or acknowledged as answered before?"""
        return self.ours and not self.used
