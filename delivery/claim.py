"""A claim: its token, and the answer of claim.lua."""

from __future__ import annotations

import itertools
import os
import uuid
from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["Claim", "tokens"]


class _Tokens:
    """Makes the tokens that tell each attempt's claims from all others: a random name of this process, and a number.

    A random token for each attempt would cost a system call each.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._name_process()
        # A forked process must not keep its parent's name: it would take a sibling's claims for its own, and repeat their calls.
        os.register_at_fork(after_in_child=self._name_process)

    def _name_process(self) -> None:
        self._process = uuid.uuid4().hex

    def next(self) -> str:
        """Return a token that no other attempt of any process has."""
        return f"{self._process}{next(self._numbers):x}"


tokens = _Tokens()


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer of claim.lua. Fields that its verb does not use keep their defaults."""

    verb: str
    #: The deadline in force, holds included; Unix milliseconds.
    deadline: int = 0
    attempts: int = 0
    reconciled: bool = False
    #: Milliseconds to wait: until the slot, or before asking again.
    wait: float = 0
    #: Milliseconds that the lease lasts.
    lease: float = 0
    outcome: bytes = b""
    baseline: tuple[str, ...] | None = None
    evidence: bytes = b""
    #: Has a hold let this claim through as its probe?
    probe: bool = False
    reason: str = ""
    #: The hold that the message was parked for.
    hold: str = ""
    #: The lane whose turn it is, if that is not the job's own lane.
    turn: str = ""
    #: Does the record belong to this claim? If not, it belongs to another job, for which this one waited.
    owned: bool = True
    #: When the job's own lost call ended, in milliseconds of Redis's clock; None when only other jobs' calls are read back.
    lost_at: int | None = None

    @classmethod
    def read(cls, answer: list[Any]) -> Claim:  # noqa: C901 - a row for each answer
        """Parse the script's answer."""
        verb, deadline, rest = answer[0].decode(), int(answer[1]), answer[2:]
        match verb:
            case "call":
                attempts, reconciled, slot, lease, baseline, probe = rest
                return cls(
                    verb,
                    deadline,
                    attempts=int(attempts),
                    reconciled=reconciled == b"1",
                    wait=float(slot),
                    lease=float(lease),
                    baseline=tuple(orjson.loads(baseline)) if baseline else None,
                    probe=probe == b"1",
                )
            case "parked":
                return cls(verb, deadline, hold=rest[0].decode())
            case "benched":
                return cls(verb, deadline, wait=float(rest[0]))
            case "paced":
                return cls(verb, deadline, wait=float(rest[0]), turn=rest[1].decode())
            case "deferred":
                return cls(verb, deadline, reason=rest[0].decode(), wait=float(rest[1]))
            case "replay":
                return cls(verb, deadline, outcome=rest[0])
            case "cancelled" | "expired" | "unknown" | "worn":
                attempts, reconciled, owned, *why = rest
                return cls(
                    verb,
                    deadline,
                    reason=b"".join(why).decode("utf-8", "replace"),
                    attempts=int(attempts),
                    reconciled=reconciled == b"1",
                    owned=owned == b"1",
                )
            case "stands":
                return cls(verb, deadline, attempts=int(rest[0]))
            case "found" | "told":
                return cls(
                    verb,
                    deadline,
                    attempts=int(rest[0]),
                    reconciled=verb == "found",
                    evidence=rest[1],
                )
            case "read_back":
                attempts, probe, lost_at = rest
                return cls(
                    verb,
                    deadline,
                    attempts=int(attempts),
                    probe=probe == b"1",
                    lost_at=int(lost_at) if lost_at else None,
                )
            case "gone" | "answered" | "used" | "conflict":
                return cls(verb, deadline)
            case _:
                raise ValueError(f"claim.lua answered {verb!r}")
