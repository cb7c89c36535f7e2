"""The log of calls, and the counts made from it: how tests learn what reached the API and what it did."""

import datetime as dt
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from coupontools import ENDPOINTS

_WINDOW_SECONDS: Final = 1.0


@dataclass(slots=True)
class Call:
    """One call that arrived in full. `status` stays None when no answer was begun."""

    number: int
    endpoint: str
    monotonic: float
    wall: float
    body: bytes
    idempotency_key: bytes | None
    user_agent: bytes | None
    traceparent: bytes | None
    fault: str | None = None
    status: int | None = None
    codes: tuple[int, ...] = ()
    carried_out: bool = False
    carried_out_at: float | None = None
    created: str | None = None

    def shown(self) -> dict[str, Any]:
        """The call as the control API lists it. `monotonic` is a clock all processes of a machine share."""
        return {
            "number": self.number,
            "endpoint": self.endpoint,
            "monotonic": self.monotonic,
            "time": dt.datetime.fromtimestamp(self.wall, dt.UTC).isoformat(),
            "fault": self.fault,
            "status": self.status,
            "codes": list(self.codes),
            "carried_out": self.carried_out,
            "carried_out_at": self.carried_out_at,
            "created": self.created,
            "idempotency_key": _text(self.idempotency_key),
            "user_agent": _text(self.user_agent),
            "traceparent": _text(self.traceparent),
            "body": _readable(self.body),
        }


@dataclass(slots=True)
class Tally:
    """Counts of one endpoint, or of all together."""

    calls: int = 0
    carried_out: int = 0
    faulted: int = 0
    max_calls_in_one_second: int = 0
    _recent: deque[float] = field(default_factory=deque)

    def arrived(self, at: float) -> None:
        """Count a call that arrived at this monotonic time."""
        self.calls += 1
        recent = self._recent
        recent.append(at)
        while recent[0] <= at - _WINDOW_SECONDS:
            recent.popleft()
        self.max_calls_in_one_second = max(self.max_calls_in_one_second, len(recent))

    def shown(self) -> dict[str, int]:
        """The counts as the control API gives them."""
        return {
            "calls": self.calls,
            "carried_out": self.carried_out,
            "faulted": self.faulted,
            "max_calls_in_one_second": self.max_calls_in_one_second,
        }


class Journal:
    """Every call since the start or the last reset; only the newest `limit` are kept, all are counted."""

    def __init__(self, limit: int) -> None:
        self._calls: deque[Call] = deque(maxlen=limit)
        self._total = Tally()
        self._tallies: dict[str, Tally] = {endpoint.name: Tally() for endpoint in ENDPOINTS}

    def arrived(self, endpoint: str, headers: Mapping[bytes, bytes], body: bytes) -> Call:
        """Log a call that has arrived."""
        now = time.monotonic()
        self._total.arrived(now)
        self._tallies[endpoint].arrived(now)
        call = Call(
            number=self._total.calls,
            endpoint=endpoint,
            monotonic=now,
            wall=time.time(),
            body=body,
            idempotency_key=headers.get(b"idempotency-key"),
            user_agent=headers.get(b"user-agent"),
            traceparent=headers.get(b"traceparent"),
        )
        self._calls.append(call)
        return call

    def faulted(self, call: Call, kind: str) -> None:
        """Note that a fault was chosen for the call."""
        call.fault = kind
        self._total.faulted += 1
        self._tallies[call.endpoint].faulted += 1

    def carried_out(self, call: Call, created: str | None) -> None:
        """Note that the call took effect, and the id of what it made."""
        call.carried_out, call.carried_out_at, call.created = True, time.monotonic(), created
        self._total.carried_out += 1
        self._tallies[call.endpoint].carried_out += 1

    def since(self, number: int) -> Iterator[Call]:
        """The kept calls after this number, oldest first."""
        return (call for call in self._calls if call.number > number)

    def stats(self) -> dict[str, Any]:
        """Counts of all calls and of each endpoint's."""
        return {
            "total": self._total.shown(),
            "endpoints": {endpoint: tally.shown() for endpoint, tally in self._tallies.items()},
        }


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")


def _readable(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
