"""What the ledger's two scripts answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["Claim", "Settled", "read_claim"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What claim.lua answered; fields that do not apply keep their defaults."""

    verb: str
    attempts: int = 0
    reconciled: bool = False
    #: Milliseconds to wait: until the slot, or before asking again.
    wait: float = 0
    #: Milliseconds that the lease lasts.
    lease: float = 0
    outcome: bytes = b""
    baseline: tuple[str, ...] | None = None
    evidence: bytes = b""
    probe: bool = False
    reason: str = ""
    #: Does the record belong to this claim? If not, it is another job's, which this one waited for.
    owned: bool = True
    #: Is it the job's channel that is held, and not the account?
    channel_alone: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """What settle.lua answered."""

    #: False when the record had become another's: nothing was written.
    ours: bool
    #: The message's id was answered before, for another message: nothing was written.
    used: bool
    hold_began: bool
    #: ``account``, ``channel``, or both.
    holds_ended: tuple[str, ...]


def read_claim(answer: list[Any]) -> Claim:
    """What claim.lua's answer says, by its first word."""
    verb = answer[0].decode()
    match verb:
        case "call":
            _, attempts, reconciled, slot, lease, baseline, probe = answer
            return Claim(
                verb,
                attempts=int(attempts),
                reconciled=reconciled == b"1",
                wait=float(slot),
                lease=float(lease),
                baseline=tuple(orjson.loads(baseline)) if baseline else None,
                probe=probe == b"1",
            )
        case "held":
            return Claim(verb, wait=float(answer[1]), channel_alone=answer[2] == b"channel")
        case "paced":
            return Claim(verb, wait=float(answer[1]))
        case "deferred":
            return Claim(verb, reason=answer[1].decode(), wait=float(answer[2]))
        case "replay":
            return Claim(verb, outcome=answer[1])
        case "expired" | "unknown":
            _, attempts, reconciled, owned = answer
            return Claim(verb, attempts=int(attempts), reconciled=reconciled == b"1", owned=owned == b"1")
        case "found":
            return Claim(verb, attempts=int(answer[1]), reconciled=True, evidence=answer[2])
        case "read_back":
            return Claim(verb, attempts=int(answer[1]), probe=answer[2] == b"1")
        case _:
            return Claim(verb)
