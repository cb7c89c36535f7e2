"""What delivery must know about a job: how to call the API for it and, if the call changes something, how to find out whether it did."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from coupontools import Call, Coupontools, Rejected, Scope

__all__ = ["Job", "KnownIds", "Outcome", "Pages", "Told", "Unknown", "Verdict"]


class Pages(Protocol):
    """The pages of a listing's answer, each the data of one event without what all events carry."""

    @property
    def count(self) -> int:
        """How many pages there are."""

    @property
    def size(self) -> int:
        """Bytes of all rows together."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...
    def close(self) -> None:
        """Free the storage of the pages."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the API answered to a question that several jobs may ask."""

    evidence: dict[str, Any]
    #: Is the answer good for a while? If not, it serves only the jobs that waited for it when the call began.
    lasts: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job; becomes its event."""

    #: The event's type after the prefix, e.g. ``contact.added``.
    event: str
    data: dict[str, Any]
    subject: str | None = None
    #: A group id that no other job may take for its own.
    claims: str | None = None
    pages: Pages | None = None
    #: Does the same job, asked for again, get this answer from memory?
    remembered: bool = True
    #: The part of the outcome that the same job does not bring itself; `Job.recalled` rebuilds the outcome from it. None: all is kept.
    kept: tuple[Any, ...] | None = None
    #: What the API answered to the job's question, for other jobs with the same one.
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record whose call's answer was lost."""

    record: str
    #: When that call ended, in milliseconds of Redis's clock.
    ended: int
    needle: str
    baseline: tuple[str, ...]
    #: When that call began at the earliest, in milliseconds of Redis's clock; 0 if that is not known.
    began: int = 0
    #: Is the look-up due? If not, only a verdict of found counts.
    due: bool = True
    #: Of the message that waits for the verdict; empty if that is not known.
    message_id: str = ""
    #: How many answers of its calls said OK about another contact or group than was asked for.
    another: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a listing shows about an unknown record."""

    unknown: Unknown
    word: Literal["found", "absent", "undecided"]
    evidence: dict[str, Any] = field(default_factory=dict)


class KnownIds(Protocol):
    """What Redis knows about ids in listings."""

    async def claimed(self, channel: str, ids: Iterable[str]) -> set[str]:
        """Return those of these group ids that are some job's answer already."""

    async def doubtful(self, listing: str) -> dict[str, int]:
        """Return the ids of rows that showed too little in an earlier listing, and since when (ms) they are known to be there."""

    async def note_doubtful(self, listing: str, ids: list[str]) -> None:
        """Note the ids of all rows that show too little now, and forget all others."""


class Job(ABC):
    """A job with checked arguments. Its class says what kind of job it is."""

    #: The kind's name.
    actor: ClassVar[str]
    #: The event type of a failure, after the prefix.
    failed: ClassVar[str]
    #: Can a call change anything at the API? If not, it is simply made again when its answer was lost.
    effect: ClassVar[bool] = False
    #: Does the job lock a name while it runs, so that two jobs cannot take each other's effect for their own?
    named: ClassVar[bool] = False
    #: The message of the failure when the derived key was carried out before, for a job that asked for something else.
    conflict: ClassVar[str] = ""

    if TYPE_CHECKING:
        # Pydantic would list these before the arguments that the job's own class declares, and so change the order of all arguments.
        #: Echoed in logs and events.
        correlation_id: str | None
        #: Jobs of one batch are counted together.
        batch_id: str | None
        #: How many jobs the batch has, where this job says so.
        batch_size: int | None
        #: Where the answer is pushed to as well.
        reply_to: str | None

    @property
    @abstractmethod
    def key(self) -> str | None:
        """The idempotency key in force, given or derived; None where each job is carried out by itself."""

    @property
    @abstractmethod
    def key_is_derived(self) -> bool:
        """Was no key given?"""

    @property
    @abstractmethod
    def scope(self) -> Scope:
        """The channel whose holds stop this job, beside the account's; ``account`` if it has none."""

    @property
    @abstractmethod
    def subject(self) -> str | None:
        """The id that the job is about; None if it has none, or if that argument was invalid."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a digest of what is asked for: equal for the same job, however it was written down."""

    async def call(self, api: Coupontools, call: Call) -> Outcome:
        """Ask the API.

        Raises:
            CoupontoolsError: as the client does.
        """
        raise NotImplementedError

    def recalled(self, *kept: Any) -> Outcome:
        """Rebuild the outcome of an earlier job that asked for the same, from what that job kept in `Outcome.kept`."""
        raise NotImplementedError

    def refused(self, error: Rejected) -> Outcome | None:
        """Return the outcome if this refusal answers the job; None if it is a failure."""
        del error
        return None

    @property
    def question(self) -> str | None:
        """Name what the API is asked, or None. Jobs with one question ask it once, and each makes its own outcome of the answer."""
        return None

    def from_told(self, evidence: dict[str, Any]) -> Outcome:
        """Return the outcome of an answer that another job with the same question got."""
        raise NotImplementedError

    # -- Only where `effect` is true --------------------------------------------------------------------------------------

    def listing(self) -> str:
        """Name the listing that shows whether a call of this job happened; jobs that name the same one share it."""
        raise NotImplementedError

    def needle(self) -> str:
        """Return what to look for in that listing."""
        raise NotImplementedError

    def read_back(
        self, api: Coupontools, call: Call, unknowns: list[Unknown], ids: KnownIds
    ) -> AsyncIterator[Verdict]:
        """Read the listing once, and yield a verdict on each unknown record: ``found`` (its call happened), ``absent`` or ``undecided``."""
        raise NotImplementedError

    def found(self, evidence: dict[str, Any]) -> Outcome:
        """Return the outcome of a call whose effect was found; ``evidence`` is what `read_back` put into its verdict."""
        raise NotImplementedError

    # -- Only where `named` is true ---------------------------------------------------------------------------------------

    def taken_name(self) -> str:
        """Return the name that no other job may take while this one runs."""
        raise NotImplementedError

    async def baseline(self, api: Coupontools, call: Call) -> list[str]:
        """Return the ids that must not be taken for this job's effect. Read before its first call."""
        raise NotImplementedError
