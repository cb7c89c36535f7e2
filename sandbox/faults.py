"""Which fault befalls which call: the kinds there are, when each fires, and the book of those installed.

Each installed fault draws from a seeded generator of its own: the same calls in the same order meet the same
faults.
"""

import random
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from sandbox.exchange import Exchange
from sandbox.fault_answers import (
    AccountError,
    BadGateway,
    Empty,
    Envelope,
    Error500,
    Html,
    RateLimited,
    Redirect,
    Unavailable,
)
from sandbox.fault_base import Behaviour
from sandbox.fault_connection import CloseAfter, CloseBefore, HangAfter, HangBefore, Reset
from sandbox.fault_delivery import CutOff, Slow, Trickle
from sandbox.names import EndpointName

SimpleFault = Annotated[
    CloseBefore
    | CloseAfter
    | Reset
    | HangBefore
    | HangAfter
    | RateLimited
    | Unavailable
    | BadGateway
    | Error500
    | CutOff
    | Empty
    | Html
    | Slow
    | Trickle
    | AccountError
    | Envelope
    | Redirect,
    Field(discriminator="kind"),
]


def _kind_alone(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


class Mixed(BaseModel):
    """One of several faults, each as likely; a kind's bare name stands for it with its defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Literal["mixed"] = "mixed"
    kinds: Annotated[
        list[Annotated[SimpleFault, BeforeValidator(_kind_alone)]],
        Field(min_length=1),
    ]


class Schedule(BaseModel):
    """When an installed fault fires."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    endpoint: EndpointName | list[EndpointName] | None = None
    """The endpoint or endpoints it befalls; None: all nine."""
    probability: float = Field(default=1.0, ge=0, le=1)
    count: int | None = Field(default=None, ge=0)
    """How many times it fires at most; None: no limit."""
    seed: int = 0

    def befalls(self, endpoint: EndpointName) -> bool:
        """Whether the fault concerns this endpoint."""
        return (
            self.endpoint is None
            or endpoint == self.endpoint
            or (isinstance(self.endpoint, list) and endpoint in self.endpoint)
        )


_FAULT: Final[TypeAdapter[SimpleFault | Mixed]] = TypeAdapter(
    Annotated[SimpleFault | Mixed, Field(discriminator="kind")]
)


class InstalledFault:
    """A fault in force: what it does, when, and how often it has."""

    def __init__(self, number: int, what: Behaviour | Mixed, when: Schedule) -> None:
        self.number = number
        self._what, self._when = what, when
        self._random = random.Random(when.seed)  # noqa: S311 - must repeat, not resist guessing
        self._fired = 0

    def strike(self, endpoint: EndpointName) -> Behaviour | None:
        """What befalls this call, if anything; every call it may befall draws once."""
        if not self._when.befalls(endpoint) or self._fired == self._when.count:
            return None
        if self._random.random() >= self._when.probability:
            return None
        self._fired += 1
        return self._random.choice(self._what.kinds) if isinstance(self._what, Mixed) else self._what

    def shown(self) -> dict[str, Any]:
        """The fault as the control API lists it."""
        return {
            "id": self.number,
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
        when = Schedule.model_validate({key: fields[key] for key in Schedule.model_fields.keys() & fields})
        what = _FAULT.validate_python(
            {key: value for key, value in fields.items() if key not in Schedule.model_fields}
        )
        self._numbers += 1
        fault = InstalledFault(self._numbers, what, when)
        self._installed.append(fault)
        return fault

    def strike(self, endpoint: EndpointName) -> Behaviour | None:
        """What befalls a call to this endpoint, or None."""
        for fault in self._installed:
            behaviour = fault.strike(endpoint)
            if behaviour is not None:
                return behaviour
        return None

    def clear(self) -> None:
        """Take every fault out of force; calls already caught stay caught."""
        self._installed.clear()

    def shown(self) -> list[dict[str, Any]]:
        """Every installed fault."""
        return [fault.shown() for fault in self._installed]


async def befall(behaviour: Behaviour, exchange: Exchange) -> None:
    """Log the fault with the call, then let it act."""
    exchange.note_fault(behaviour.kind)
    await behaviour.perform(exchange)
