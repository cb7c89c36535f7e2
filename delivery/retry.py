"""Whether and when a job is tried again: what an answer means for the job and the account, and the length of every pause."""

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

    Lua scripts read each as ``PAUSE.<name>``, in milliseconds; ``lua/pauses.lua`` calculates with them.
    """

    # -- What the API asks for --

    #: A longer ``Retry-After`` is taken for a mistake and cut to this: it would stop the whole account.
    asked_longest = 3600.0
    #: A pause up to this length is just waited for: nothing is parked, and no event reports it.
    asked_short = 10.0

    # -- A job, or a look at a listing, asks again --

    #: How long the pace may keep a job waiting whose deadline has passed, before the job claims again.
    overdue = 5.0
    #: When the job could not even be answered: soon enough once the cause is mended, seldom enough for a readable log.
    postponed = 60.0
    #: When the job needs a listing and its process has no room for one: another process may have room.
    listing_room = 0.5
    #: While another call under the same key is under way: the shortest wait.
    busy_first = 0.2
    #: While another job has the name or the contact that this one wants: the first wait, and the longest.
    other_first = 0.3
    other_last = 30.0
    #: While another claim reads the listing: the shortest wait, and the longest. That listing may end long before the reader lock does,
    #: and it only tells of records that waited when it began.
    reader_first = 0.05
    reader_last = 2.0
    #: Added to the end of another's lease or reader lock, so that it has surely run out.
    lock_slack = 0.005
    #: A lost call whose deadline comes before it may be read back is looked up once, at most this long before the deadline.
    last_look = 5.0
    #: How long a call waits that is refused while others pass: the first number, doubled once for each refusal, up to the second.
    alone_first = 2.0
    alone_last = 600.0
    #: A message with which workers have died: how long a worker waits for its other jobs to end, to try this one alone; and how long a
    #: second such message waits.
    suspect = 60.0
    second_suspect = 2.0

    # -- A hold is probed --

    #: The first interval between probes; and the longest for each kind of hold. A refusal without a code of the vendor's may concern some
    #: calls alone, so it is probed more often: all the others wait until a probe passes.
    probe_first = 1.0
    refused_last = 60.0
    outage_last = 4.0
    bare_last = 8.0
    #: A refusal that returns within this time goes on with its interval. Else a refusal of some calls alone would flap.
    returns_within = 120.0
    #: If a message that was let out to probe has not done so by then, more are let out.
    let_out_again = 1.0
    #: When no call is left of the kind that was refused, any other may probe after this time.
    any_probes = 600.0
    #: An outage of one kind of call ends when its probe has been due for this long, and no job of its kind came or is parked.
    outage_left = 60.0
    #: After this time a job asks again that must leave the probe to another and cannot be parked.
    probe_soon = 0.25
    #: A probe further ahead than this was set before the clock was set back.
    probe_furthest = 3660.0
    #: How long parking waits for more messages of the same hold, so that one script parks them all.
    gathering = 0.005
    #: How long a process parks jobs of the kind that a hold stopped without asking Redis: another worker's probe may have ended the hold.
    hold_believed = 1.0

    #: A process whose secret is refused, while another worker's is not, takes nothing for at least this long.
    benched_first = 0.05

    # -- The pace --

    #: The shortest wait of a claim that came too early.
    paced_first = 0.001
    #: The longest wait of a lane that asks for a slot while it is the turn of another.
    turn_last = 0.25
    #: Added to the time for which a lane that was told to wait is expected back; a slot is kept for it no longer.
    lane_wanted = 0.25
    #: A slot further ahead than this was reserved before the clock was set back.
    slot_furthest = 10.0


#: The same in milliseconds, for the Lua scripts.
PAUSES_MS: Final[Mapping[str, int]] = MappingProxyType(
    {name: round(1000 * seconds) for name, seconds in vars(Pause).items() if not name.startswith("_")}
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What to do with the job, and what the call showed about the account.

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
    #: ``outage`` counts towards a hold for an outage, ``refused`` begins a hold, ``well`` says that the API works.
    signal: Literal["well", "outage", "refused", "none"]
    scope: str = "account"
    #: Seconds for which the API asks the whole account to wait.
    pause: float | None = None
    #: Was the call refused without a code of the vendor's, so that nobody knows whether the account or this call alone is refused?
    bare: bool = False
    #: Did the call fail before a connection was open?
    connect: bool = False
    #: Could no answer be read? That may concern this call alone, so each call counts once towards an outage.
    broken: bool = False
    #: For ``held``: may the call have been carried out all the same, so that it is read back before any other?
    lost: bool = False


def meaning_of(error: CoupontoolsError, *, effect: bool, shortest_pause: float) -> Meaning:
    """Return what ``error`` means for a call that can change something (``effect``) or that cannot.

    ``shortest_pause`` is how long the account waits, in seconds, when the API asks for a pause without saying for how long.
    """
    signal: Literal["outage", "none"] = "outage" if error.outage or error.broken else "none"
    match error:
        case NotSent():
            return Meaning("retry", signal, connect=True)
        case NotCarriedOut():
            return Meaning("retry", "well", pause=Backoff.at_most(error.retry_after) or shortest_pause)
        case AccountRefused():
            lost = effect and error.is_redirect
            return Meaning("held", "refused", scope=str(error.scope), bare=error.code is None, lost=lost)
        case Rejected():
            return Meaning("refused", "well")
        case MayHaveHappened():
            # A Retry-After here concerns this call alone: only its job waits.
            return Meaning("lost" if effect else "retry", signal, broken=error.broken)
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
        """Return how many seconds to wait after ``attempts`` attempts; at least ``retry_after``, if the API sent one."""
        ceiling = min(self.longest, self.shortest * 2.0 ** min(attempts, 60))
        wait = random.uniform(self.shortest, max(self.shortest, ceiling))  # noqa: S311 - spreads load, hides nothing
        return max(wait, self.at_most(retry_after))

    @staticmethod
    def at_most(retry_after: float | None) -> float:
        """Return the wait that the API asked for, within reason; 0 if it asked for none."""
        return 0.0 if retry_after is None else min(retry_after, Pause.asked_longest)


@dataclass(frozen=True, slots=True)
class Rests:
    """The pauses between listings that read back, in seconds."""

    #: Before the same listing is read again: answers are lost in bursts, and one listing can serve a whole burst.
    rest: float
    #: Before a record that a listing left undecided is looked at again; twice as long each time, up to ``seldom``.
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
