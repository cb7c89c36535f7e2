"""What an answer means for the job and for the account: the one place where a retry is decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actors.delivery.backoff import RETRY_AFTER_CAP_SECONDS
from coupontools import AccountRefused, CoupontoolsError, MayHaveHappened, NotCarriedOut, NotSent, Rejected

__all__ = ["Meaning", "meaning_of"]


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


def meaning_of(error: CoupontoolsError, *, effect: bool, shortest_pause: float) -> Meaning:
    """What ``error`` means for a call that can change something (``effect``) or that cannot.

    ``shortest_pause`` is how long the account waits, in seconds, where the API asks for patience without saying for how long.
    """
    signal: Literal["outage", "none"] = "outage" if error.outage else "none"
    # A mistaken Retry-After must not stop the whole account for a year.
    asked = None if error.retry_after is None else min(error.retry_after, RETRY_AFTER_CAP_SECONDS)
    match error:
        case NotSent():
            return Meaning("retry", signal)
        case NotCarriedOut():
            return Meaning("retry", "well", pause=asked or shortest_pause)
        case AccountRefused():
            return Meaning("held", "refused", scope=str(error.scope))
        case Rejected():
            return Meaning("refused", "well")
        case MayHaveHappened():
            return Meaning("lost" if effect else "retry", signal, pause=asked)
        case _:
            raise TypeError(f"{type(error).__name__} has no meaning; add a row") from error
