"""Whether a job is tried again, and when: what an answer means for job and account, and every pause there is."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from coupontools import AccountRefused, CoupontoolsError, MayHaveHappened, NotCarriedOut, NotSent, Rejected

__all__ = ["PAUSES_MS", "Backoff", "Meaning", "Pause", "Rests", "meaning_of"]


class Pause:
    """Every pause whose length no setting decides, in seconds.

    Scripts in Redis have each as ``PAUSE.<name>``, in milliseconds; how they reckon with them stands in ``lua/pauses.lua``.
    """

    # -- What the API asks for --

    #: A ``Retry-After`` further away than this is taken for a mistake: it would stop the whole account.
    asked_longest = 3600.0
    #: One that is no longer than this is just waited for: nothing is parked, and nobody told.
    asked_short = 10.0

    # -- A job, or a look at a listing, asks again --

    #: Past its deadline.
    overdue = 5.0
    #: When it could not even be answered: soon enough once the cause is mended, seldom enough to be read.
    postponed = 60.0
    #: When it needs a listing for which its process has no room: another process may have it.
    listing_room = 0.5
    #: While another claim of its key is under way: at least so long.
    busy_first = 0.2
    #: While another job has the name or the contact that it wants: how soon, and how seldom at last.
    other_first = 0.3
    other_last = 30.0
    #: While somebody else reads the listing: at least so long, and at most; that may end long before it must, and it tells of those alone
    #: who waited when it began.
    reader_first = 0.05
    reader_last = 2.0
    #: After what another holds has run out.
    lock_slack = 0.005
    #: A call whose deadline comes before it may be read back is looked up once, so long before the deadline.
    last_look = 5.0
    #: A call that is refused while others pass: how soon, and how seldom at last.
    alone_first = 2.0
    alone_last = 600.0
    #: A message with which workers have died: so long a worker waits for its other jobs to end, to try that one alone; and so long a
    #: second such message waits.
    suspect = 60.0
    second_suspect = 2.0

    # -- A hold is probed --

    #: How soon; and how seldom at last, for each kind. A refusal without a code of the vendor's may concern some calls alone: the others,
    #: who wait for a probe that passes, wait less long.
    probe_first = 1.0
    refused_last = 60.0
    outage_last = 4.0
    bare_last = 8.0
    #: A refusal that returns within so long goes on with its interval, or one that concerns some calls alone would flap.
    returns_within = 120.0
    #: Who was let out to probe and did not is followed by others.
    let_out_again = 1.0
    #: When none is left of the kind of call that was refused, any may probe after so long.
    any_probes = 600.0
    #: How soon a job asks again whose hold is to be probed by another, where it cannot be parked.
    probe_soon = 0.25
    #: A probe that is further ahead was set by a clock that was set back since.
    probe_furthest = 3660.0
    #: How long others of the same hold are waited for, so that one script parks them all.
    gathering = 0.005
    #: How long a process believes in a hold without asking: another worker's probe may have ended it.
    hold_believed = 1.0

    #: A process whose secret is refused, while another's is not, takes nothing for at least so long.
    benched_first = 0.05

    # -- The pace --

    #: How soon a claim that came too early asks again, at least.
    paced_first = 0.001
    #: How seldom at last a lane asks for a slot while it is the turn of another.
    turn_last = 0.25
    #: A lane that was told to wait is expected back for two intervals, or until it may ask again, and this; so long at most a slot is kept.
    lane_wanted = 0.25
    #: A slot that is further ahead was reserved by a clock that was set back since.
    slot_furthest = 10.0


#: The same for the scripts in Redis.
PAUSES_MS: Final[Mapping[str, int]] = MappingProxyType(
    {name: round(1000 * seconds) for name, seconds in vars(Pause).items() if not name.startswith("_")}
)


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
    asked = None if error.retry_after is None else min(error.retry_after, Pause.asked_longest)
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
        return 0.0 if retry_after is None else min(retry_after, Pause.asked_longest)


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
