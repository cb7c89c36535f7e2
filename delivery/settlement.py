"""What can be settled: a class for each thing that settle.lua can do with a message, and what it is told of the account."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
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


#: The names of each class's fields; asking dataclasses anew for every job is slow.
_NAMES: dict[type, tuple[str, ...]] = {}


def _given(told: Any) -> dict[str, Any]:
    """Return the fields of a dataclass. Lua takes JSON's null for a value, so what is None is left out."""
    kind = type(told)
    names = _NAMES.get(kind) or _NAMES.setdefault(kind, tuple(each.name for each in fields(told)))
    values = ((name, getattr(told, name)) for name in names)
    return {name: value for name, value in values if value is not None}


#: An event as the stream holds it: its type and its JSON.
Event = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What becomes of a message and of its job's record."""

    op: ClassVar[str]
    #: As what is the message counted in its batch? ``succeeded``, ``replayed``, or ``failed:`` and the kind; None while it is not answered.
    counted: ClassVar[str | None] = None
    #: Is the record this claim's? If not, the message is answered whatever its record.
    owned: bool = True

    def arguments(self) -> dict[str, Any]:
        """Return the script's arguments."""
        return {"op": self.op} | _given(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MorePages(Settlement):
    """A part of a long listing's answer, which is made ready; more follows under the same lease, and none is written before all are."""

    op = "pages"
    events: list[Event]
    #: What a replay answers, page by page; empty for a listing that is not remembered.
    pages: list[str]
    #: Are these the first pages? They take the place of all that stood there.
    first: bool
    #: Their number, so that a repeat is known.
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
    #: Do all events stand ready, as those of `MorePages`? They are written so many at a time, until this is settled whole.
    staged: bool | None = None
    #: JSON: what the API answered to the job's question; and does it hold for a while?
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
        """Failures are counted by kind."""
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
    #: Was it carried out before, or was there nothing to carry out?
    before: bool = True

    @property
    def counted(self) -> str:  # type: ignore[override]
        """A job that needs no call is carried out by its answer."""
        return "replayed" if self.before else "succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Settlement):
    """The call certainly did not happen: the job may call again, after a delay in milliseconds."""

    op = "wait"
    delay: int = 0
    #: Why, in words; told when the deadline passes first.
    why: str | None = None
    #: Does the message stay in this worker's hands?
    keep: bool = False
    #: Was this no attempt?
    uncount: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost(Settlement):
    """The call may have happened: it is read back before any other, after a delay in milliseconds."""

    op = "lost"
    delay: int = 0
    why: str | None = None
    #: Does the message stay in this worker's hands?
    keep: bool = False
    #: Was this no attempt?
    uncount: bool = False


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
    """The message stays as it is; only what a call told of the account counts."""

    op = "signal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What a call told of the account; see signal.lua."""

    word: Literal["well", "refused", "outage", "none"]
    #: The kind of call, and which one it was.
    call: str = ""
    about: str = ""
    #: Whose calls it was one of: a channel's, or the whole account's.
    channel: str = "account"
    #: Whom a refusal concerns.
    scope: str = "account"
    code: str = ""
    text: str = ""
    #: Milliseconds since the call began.
    took: int = 0
    #: Milliseconds that nobody shall call.
    pause: int = 0
    #: Did not even a connection stand?
    connect: bool = False
    #: Was it refused without a code of the vendor's, so that nobody knows whether it was the account or this call?
    bare: bool = False
    #: May it have been carried out all the same?
    lost: bool = False
    #: Is it the secret that was refused, and not the account?
    by_secret: bool = False
    #: The host and the process whose call it was.
    worker: str = ""

    def arguments(self) -> dict[str, Any]:
        """Return it as the script has it: a call that went well, as most do, has nothing more to tell."""
        if self.word == "well" and not self.pause:
            return {"word": self.word, "call": self.call, "about": self.about, "channel": self.channel}
        return _given(self)


@dataclass(frozen=True, slots=True)
class Changes:
    """The holds that began and ended by a script; see account.lua for what each of them says."""

    began: tuple[dict[str, Any], ...] = ()
    ended: tuple[dict[str, Any], ...] = ()

    @classmethod
    def read(cls, answer: bytes) -> Changes:
        """Return what a script answered."""
        if not answer:
            return NO_CHANGES
        told = orjson.loads(answer)
        return cls(tuple(told.get("began", ())), tuple(told.get("ended", ())))


NO_CHANGES = Changes()


@dataclass(frozen=True, slots=True)
class Settled:
    """What settle.lua answered."""

    #: False when the record had become another's: nothing was written.
    ours: bool
    #: The message's id was answered before, for another message: only its record was written, and it is still to be set aside.
    used: bool
    changes: Changes = field(default_factory=lambda: NO_CHANGES)
    #: Events stand ready still: settle the same again.
    more: bool = False

    @property
    def answered(self) -> bool:
        """Was the message answered, or acknowledged as answered before?"""
        return self.ours and not self.used
