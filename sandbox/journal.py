"""The log of calls and their counts: how tests learn what reached the API and what it did."""

import datetime as dt
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
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
    """When it arrived, by a clock that all processes of a machine share."""
    time: str
    body: bytes
    idempotency_key: str | None
    user_agent: str | None
    traceparent: str | None
    fault: str | None = None
    status: int | None = None
    codes: tuple[int, ...] = ()
    carried_out: bool = False
    carried_out_at: float | None = None
    created: str | None = None

    def shown(self) -> dict[str, Any]:
        """Return the call as the control API lists it."""
        return {**asdict(self), "body": _readable(self.body)}


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
        """Return the counts as the control API gives them."""
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
        """Log a call that has arrived, and return its entry."""
        now = time.monotonic()
        self._total.arrived(now)
        self._tallies[endpoint].arrived(now)
        call = Call(
            number=self._total.calls,
            endpoint=endpoint,
            monotonic=now,
            time=dt.datetime.now(dt.UTC).isoformat(),
            body=body,
            idempotency_key=_text(headers.get(b"idempotency-key")),
            user_agent=_text(headers.get(b"user-agent")),
            traceparent=_text(headers.get(b"traceparent")),
        )
        self._calls.append(call)
        return call

    def faulted(self, call: Call, kind: str) -> None:
        """Note that a fault befalls the call."""
        call.fault = kind
        self._total.faulted += 1
        self._tallies[call.endpoint].faulted += 1

    def carried_out(self, call: Call, created: str | None) -> None:
        """Note that the call took effect, and the id of what it made."""
        call.carried_out, call.carried_out_at, call.created = True, time.monotonic(), created
        self._total.carried_out += 1
        self._tallies[call.endpoint].carried_out += 1

    def since(self, number: int) -> Iterator[Call]:
        """Return the kept calls after this number, oldest first."""
        return (call for call in self._calls if call.number > number)

    def stats(self) -> dict[str, Any]:
        """Return the counts of all calls and of each endpoint's."""
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
