"""The faults there are, when each fires, and the book of those installed.

Each installed fault draws from a seeded generator of its own: the same calls in the same order meet the same
faults.
"""

import random
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter

from coupontools import ENDPOINTS
from sandbox.fault_answers import AccountError, Envelope, Foreign, RateLimited, Redirect, Shaped, Unavailable
from sandbox.fault_base import Fault
from sandbox.fault_line import Close, CutOff, HangAfter, HangBefore, LeftOver, Reset, Slow, Trickle, Unasked
from sandbox.settings import Strict

SimpleFault = Annotated[
    Close
    | Reset
    | HangBefore
    | HangAfter
    | RateLimited
    | Unavailable
    | Foreign
    | CutOff
    | Slow
    | Trickle
    | LeftOver
    | Unasked
    | AccountError
    | Envelope
    | Redirect
    | Shaped,
    Field(discriminator="kind"),
]
_NAMES: Final = frozenset(endpoint.name for endpoint in ENDPOINTS)


def _kind_alone(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


def _known(name: str) -> str:
    if name not in _NAMES:
        raise ValueError(f"there is no endpoint {name!r}; there are {', '.join(sorted(_NAMES))}")
    return name


class Mixed(Strict):
    """One of several faults, each as likely; a kind's bare name stands for it with its defaults."""

    kind: Literal["mixed"]
    kinds: Annotated[list[Annotated[SimpleFault, BeforeValidator(_kind_alone)]], Field(min_length=1)]


EndpointName = Annotated[str, AfterValidator(_known)]


class Schedule(Strict):
    """When an installed fault fires."""

    endpoint: EndpointName | list[EndpointName] | None = None
    """The endpoint or endpoints it befalls; None: all of them."""
    containing: Annotated[str, Field(min_length=1)] | None = None
    """Only calls whose body has this text, such as one number or one group's id; None: any body."""
    probability: float = Field(default=1.0, ge=0, le=1)
    count: int | None = Field(default=None, ge=0)
    """How many times it fires at most; None: no limit."""
    seed: int = 0

    def befalls(self, endpoint: str, body: bytes) -> bool:
        """Return whether the fault concerns a call of this endpoint with this body."""
        chosen = [self.endpoint] if isinstance(self.endpoint, str) else self.endpoint
        return (chosen is None or endpoint in chosen) and (
            self.containing is None or self.containing.encode() in body
        )


_FAULT: Final[TypeAdapter[SimpleFault | Mixed]] = TypeAdapter(
    Annotated[SimpleFault | Mixed, Field(discriminator="kind")]
)


class InstalledFault:
    """A fault in force: what it does, when, and how often it has."""

    def __init__(self, number: int, what: Fault | Mixed, when: Schedule) -> None:
        self._number, self._what, self._when = number, what, when
        self._random = random.Random(when.seed)  # noqa: S311 - must repeat, not resist guessing
        self._fired = 0

    def strike(self, endpoint: str, body: bytes) -> Fault | None:
        """Return what befalls this call, if anything; every call it may befall draws once."""
        if not self._when.befalls(endpoint, body) or self._fired == self._when.count:
            return None
        if self._random.random() >= self._when.probability:
            return None
        self._fired += 1
        return self._random.choice(self._what.kinds) if isinstance(self._what, Mixed) else self._what

    def shown(self) -> dict[str, Any]:
        """Return the fault as the control API lists it."""
        return {
            "id": self._number,
            **self._what.model_dump(),
            **self._when.model_dump(),
            "fired": self._fired,
        }


class FaultBook:
    """The installed faults, in the order they came; the first that fires wins."""

    def __init__(self) -> None:
        self._installed: list[InstalledFault] = []
        self._numbers = 0

    def install(self, fields: dict[str, Any]) -> InstalledFault:
        """Put a fault in force; `pydantic.ValidationError` if it is none."""
        times = {key: value for key, value in fields.items() if key in Schedule.model_fields}
        what = {key: value for key, value in fields.items() if key not in Schedule.model_fields}
        when, fault = Schedule.model_validate(times), _FAULT.validate_python(what)
        self._numbers += 1
        self._installed.append(InstalledFault(self._numbers, fault, when))
        return self._installed[-1]

    def strike(self, endpoint: str, body: bytes) -> Fault | None:
        """Return what befalls a call of this endpoint with this body, if anything."""
        struck = (fault.strike(endpoint, body) for fault in self._installed)
        return next((fault for fault in struck if fault is not None), None)

    def clear(self) -> None:
        """Take every fault out of force; a call that a fault has struck before still ends as that fault makes it."""
        self._installed.clear()

    def shown(self) -> list[dict[str, Any]]:
        """Return every installed fault."""
        return [fault.shown() for fault in self._installed]
