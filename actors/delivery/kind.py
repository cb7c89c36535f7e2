"""What delivery has to know about a kind of job; one module beside this package for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from actors.jobs import Job
from coupontools import Call, Coupontools, Rejected

__all__ = ["Kind", "Outcome", "Pages", "ReadBack", "Unknown", "Verdict"]


class Pages(Protocol):
    """The pages of a listing's answer, each the data of one event without what every answer carries."""

    @property
    def count(self) -> int:
        """How many pages there are."""

    @property
    def size(self) -> int:
        """Bytes of all rows together."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...
    def close(self) -> None:
        """Frees what holds them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job brought about; becomes its event."""

    #: The event's type after the prefix, e.g. ``contact.added``.
    event: str
    data: dict[str, Any]
    subject: str | None = None
    #: A group id that no other job may take for its own.
    claims: str | None = None
    pages: Pages | None = None
    #: Does the same job, asked for again, get this answer from memory?
    remembered: bool = True


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record whose call's answer was lost."""

    record: str
    #: When that call ended, in milliseconds of Redis's clock.
    ended: int
    needle: str
    baseline: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a listing tells about an unknown record: ``found``, ``absent`` or ``undecided``."""

    unknown: Unknown
    word: str
    evidence: dict[str, Any] = field(default_factory=dict)


class ReadBack(Protocol):
    """Redis's side of reading back."""

    async def claimed(self, channel: str, name: str) -> set[str]:
        """Group ids of this name that are some job's answer already."""


J = TypeVar("J", bound=Job)


class Kind(ABC, Generic[J]):
    """A kind of job: how it is called and, where a call changes something, how one finds out whether it did."""

    job: ClassVar[type[Job]]
    #: Can a call change anything at the API? If not, a lost answer is simply asked for again.
    effect: ClassVar[bool] = False
    #: Is a name taken while it runs, so that two jobs cannot take each other's effect for theirs?
    named: ClassVar[bool] = False
    #: Why a job fails whose derived key was carried out for a job that asked for something else.
    conflict: ClassVar[str] = ""
    #: Smaller goes first where jobs of several kinds wait.
    lane: ClassVar[int]
    #: May it reserve slots of the pace further ahead than others?
    urgent: ClassVar[bool] = False

    def without_call(self, job: J) -> Outcome | None:
        """The outcome, when the API need not be asked."""
        del job
        return None

    @abstractmethod
    async def call(self, job: J, api: Coupontools, call: Call) -> Outcome:
        """Asks the API.

        Raises:
            CoupontoolsError: as the client does.
        """

    def refused(self, job: J, error: Rejected) -> Outcome | None:
        """An outcome that the API tells by refusing; None when the refusal is a failure."""
        del job, error
        return None

    # -- Only where `effect` is true ------------------------------------------------------------------------------------

    def listing(self, job: J) -> str:
        """Names the listing that shows whether a call of this job happened; jobs of one listing share it."""
        raise LookupError(f"{job.actor} changes nothing that could be read back")

    def needle(self, job: J) -> str:
        """What to look for in that listing."""
        raise LookupError(f"{job.actor} changes nothing that could be read back")

    def name(self, job: J) -> str:
        """The name taken while the job runs."""
        raise LookupError(f"{job.actor} takes no name")

    async def baseline(self, job: J, api: Coupontools, call: Call) -> list[str]:
        """What must not be taken for this job's effect, noted before its first call."""
        raise LookupError(f"{job.actor} needs no baseline")

    def read_back(
        self, job: J, api: Coupontools, call: Call, unknowns: list[Unknown], ledger: ReadBack
    ) -> AsyncIterator[Verdict]:
        """Reads the listing once and tells of each unknown record whether it is ``found``, or ``absent``, or ``undecided``."""
        raise LookupError(f"{job.actor} changes nothing that could be read back")

    def found(self, job: J, evidence: dict[str, Any]) -> Outcome:
        """The outcome of a call whose effect was found."""
        raise LookupError(f"{job.actor} changes nothing that could be read back")
