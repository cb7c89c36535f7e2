"""Whether a job is tried again, and when: what an answer means for job and account, and every pause there is."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from coupontools import AccountRefused, CoupontoolsError, MayHaveHappened, NotCarriedOut, NotSent, Rejected

__all__ = [
    "LISTING_ROOM_SECONDS",
    "OVERDUE_SECONDS",
    "POSTPONED_SECONDS",
    "RETRY_AFTER_CAP_SECONDS",
    "Backoff",
    "Meaning",
    "Rests",
    "meaning_of",
]

#: A ``Retry-After`` further away than this is taken for a mistake: it would stop the whole account.
RETRY_AFTER_CAP_SECONDS = 3600.0
#: How soon a job that is past its deadline asks again.
OVERDUE_SECONDS = 5.0
#: How soon a job asks again that needs a listing for which its process has no room.
LISTING_ROOM_SECONDS = 1.0
#: How soon a job that could not even be answered is tried again: soon enough once its cause is mended, seldom enough to be read.
POSTPONED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Meaning:
    """What to do with the job, and what the call told about the account.

    ========  =============================================================
    verb      the job
    ========  =============================================================
    retry     was certainly not carried out: call again after the backoff
    lost      may have been carried out: read back before any further call
    held      was not looked at: waits for the account, no attempt is spent
    refused   was refused for good: give up
    ========  =============================================================
    """

    verb: Literal["retry", "lost", "held", "refused"]
    #: ``outage`` counts towards the breaker, ``refused`` begins a hold, ``well`` says that the API works.
    signal: Literal["well", "outage", "refused", "none"]
    scope: str = "account"
    #: Seconds that the whole account is asked to wait.
    pause: float | None = None
    #: Was it refused without a code of the vendor's, so that nobody knows whether it was the account or this call?
    bare: bool = False
    #: Did not even a connection stand?
    connect: bool = False
    #: Of a job that is held: may the call have been carried out all the same, so that it is read back before any other?
    lost: bool = False


def meaning_of(error: CoupontoolsError, *, effect: bool, shortest_pause: float) -> Meaning:
    """Return what ``error`` means for a call that can change something (``effect``) or that cannot.

    ``shortest_pause`` is how long the account waits, in seconds, where the API asks for patience without saying for how long.
    """
    signal: Literal["outage", "none"] = "outage" if error.outage else "none"
    # A mistaken Retry-After must not stop the whole account for a year.
    asked = None if error.retry_after is None else min(error.retry_after, RETRY_AFTER_CAP_SECONDS)
    match error:
        case NotSent():
            return Meaning("retry", signal, connect=True)
        case NotCarriedOut():
            return Meaning("retry", "well", pause=asked or shortest_pause)
        case AccountRefused():
            lost = effect and error.is_redirect
            return Meaning("held", "refused", scope=str(error.scope), bare=error.code is None, lost=lost)
        case Rejected():
            return Meaning("refused", "well")
        case MayHaveHappened():
            # A Retry-After here speaks of this answer alone: only the job that got it waits.
            return Meaning("lost" if effect else "retry", signal)
        case _:
            raise TypeError(f"{type(error).__name__} has no meaning; add a row") from error


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ shows why the jitter is full: equal steps keep
    a crowd of retries together.
    """

    #: Bounds in seconds.
    shortest: float
    longest: float

    def seconds(self, attempts: int, retry_after: float | None = None) -> float:
        """Return how long to wait after ``attempts`` attempts; at least ``retry_after`` where the API said so."""
        ceiling = min(self.longest, self.shortest * 2.0 ** min(attempts, 60))
        wait = random.uniform(self.shortest, max(self.shortest, ceiling))  # noqa: S311 - spreads load, hides nothing
        return max(wait, self.at_most(retry_after))

    @staticmethod
    def at_most(retry_after: float | None) -> float:
        """Return what the API asked for, within reason; 0 if it asked for nothing."""
        return 0.0 if retry_after is None else min(retry_after, RETRY_AFTER_CAP_SECONDS)


@dataclass(frozen=True, slots=True)
class Rests:
    """The pauses between listings that read back, in seconds."""

    #: Before the next listing of one kind: answers are lost in bursts, and one listing is to serve a burst.
    rest: float
    #: Before those whom a listing could not tell of ask again; twice as long each time, up to ``seldom``.
    again: float
    seldom: float

    @classmethod
    def of(cls, read_back_after: float, backoff: Backoff) -> Rests:
        """Return the pauses that go with these settings."""
        return cls(
            rest=max(0.5, read_back_after / 3),
            again=max(read_back_after, backoff.shortest),
            seldom=backoff.longest,
        )
