"""The gate of one process: who may claim next, while so many jobs are in flight and the account is paced or held.

Jobs wait here with nothing but their message, most urgent first. What all workers share (pace, holds) is decided in Redis; the gate only
remembers until when asking again is of no use, so that a waiting backlog costs next to nothing.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Draining", "Gate", "Ticket"]

SCOPES = ("account", "sms", "email")
#: How long a hold is believed without asking: another worker's probe may have ended it.
HOLD_BELIEVED_SECONDS = 1.0


class Draining(Exception):  # noqa: N818 - not an error: the worker stops
    """The worker stops: hand the message back."""


@dataclass(order=True, slots=True)
class _Waiter:
    lane: int
    number: int
    future: asyncio.Future[None] = field(compare=False)


class Ticket:
    """One job that was let in."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._claiming = True

    def claimed(self) -> None:
        """The claim has its answer; the next one may ask."""
        if self._claiming:
            self._claiming = False
            self._gate._claims -= 1  # noqa: SLF001 - two halves of one thing
            self._gate._pump()  # noqa: SLF001


class Gate:
    """Lets at most ``concurrency`` jobs in, the lowest lane first, and none of a closed scope.

    Belongs to one event loop; not for other threads.
    """

    def __init__(self, concurrency: int, *, claims: int | None = None) -> None:
        """``claims`` is how many claims may be under way at once, where more would only be told to wait."""
        self._concurrency = concurrency
        self._most_claims = claims or concurrency
        self._cautious = False
        self._inside = 0
        self._claims = 0
        self._draining = False
        self._numbers = itertools.count()
        self._waiting: dict[str, list[_Waiter]] = {scope: [] for scope in SCOPES}
        self._overdue: list[_Waiter] = []
        self._closed_until = dict.fromkeys(SCOPES, 0.0)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def wary(self) -> bool:
        """Is a hold known that the next good answer may end?"""
        return self._cautious

    async def enter(self, lane: int, scope: str, number: int | None, patience: float) -> Ticket:
        """Waits to be let in; at the latest ``patience`` seconds from now a closed scope is no reason to wait any more.

        ``number`` keeps a job's place when it has to come back.

        Raises:
            Draining: the worker stops.
        """
        if self._draining:
            raise Draining
        loop = asyncio.get_running_loop()
        waiter = _Waiter(lane, next(self._numbers) if number is None else number, loop.create_future())
        heapq.heappush(self._waiting[scope], waiter)
        overdue = loop.call_later(max(0.0, patience), self._hurry, scope, waiter)
        self._pump()
        try:
            await waiter.future
        except asyncio.CancelledError:
            self._forget(scope, waiter)
            raise
        finally:
            overdue.cancel()
        return Ticket(self)

    @contextmanager
    def inside(self, ticket: Ticket) -> Iterator[Ticket]:
        """While a job that was let in has its slot."""
        try:
            yield ticket
        finally:
            self._inside -= 1
            ticket.claimed()
            self._pump()

    def take_number(self) -> int:
        """A place behind all who came before."""
        return next(self._numbers)

    def close(self, scope: str, seconds: float, *, held: bool) -> None:
        """Asking is of no use for ``seconds``."""
        if held:
            self._cautious = True
            seconds = min(seconds, HOLD_BELIEVED_SECONDS)
        until = asyncio.get_running_loop().time() + max(0.001, seconds)
        self._closed_until[scope] = max(self._closed_until[scope], until)
        self._pump()

    def open(self) -> None:
        """The account answers again."""
        if not self._cautious:
            return
        self._cautious = False
        self._closed_until = dict.fromkeys(SCOPES, 0.0)
        self._pump()

    def drain(self) -> None:
        """Lets nobody in any more; all who wait are sent back."""
        self._draining = True
        for waiter in itertools.chain(self._overdue, *self._waiting.values()):
            if not waiter.future.done():
                waiter.future.set_exception(Draining())
        for waiters in (self._overdue, *self._waiting.values()):
            waiters.clear()
        if self._timer:
            self._timer.cancel()

    def _forget(self, scope: str, waiter: _Waiter) -> None:
        if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
            # Let in and cancelled in one turn of the loop: the slot goes to the next.
            self._inside -= 1
            self._claims -= 1
            self._pump()
            return
        for waiters in (self._waiting[scope], self._overdue):
            if waiter in waiters:
                waiters.remove(waiter)
                heapq.heapify(waiters)

    def _hurry(self, scope: str, waiter: _Waiter) -> None:
        if waiter.future.done() or waiter not in self._waiting[scope]:
            return
        self._waiting[scope].remove(waiter)
        heapq.heapify(self._waiting[scope])
        heapq.heappush(self._overdue, waiter)
        self._pump()

    def _pump(self) -> None:
        if self._draining:
            return
        now = asyncio.get_running_loop().time()
        most_claims = 1 if self._cautious else self._most_claims
        while self._inside < self._concurrency and self._claims < most_claims:
            waiters = self._next(now)
            if waiters is None:
                break
            waiter = heapq.heappop(waiters)
            if waiter.future.done():
                continue
            self._inside += 1
            self._claims += 1
            waiter.future.set_result(None)
        self._set_timer(now)

    def _next(self, now: float) -> list[_Waiter] | None:
        if self._overdue:
            return self._overdue
        if self._closed_until["account"] > now:
            return None
        ready = [
            waiters
            for scope, waiters in self._waiting.items()
            if waiters and self._closed_until[scope] <= now
        ]
        return min(ready, key=lambda waiters: waiters[0]) if ready else None

    def _set_timer(self, now: float) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not any(self._waiting.values()):
            return
        pending = [until for until in self._closed_until.values() if until > now]
        if pending:
            self._timer = asyncio.get_running_loop().call_at(min(pending), self._pump)
