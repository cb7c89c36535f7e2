"""The gate of one process: who may claim next, while so many jobs are in flight and the account is paced or held.

Jobs wait here with nothing but their message, most urgent first. What all workers share (pace, holds) is decided in Redis; the gate only
remembers until when asking again is of no use, so that a waiting backlog costs next to nothing.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Aside", "Draining", "Gate", "Ticket"]

SCOPES = ("account", "sms", "email")
#: Of a held channel, so many jobs wait in the process, to probe and to begin with; as a share of its concurrency.
KEPT_OF_A_HELD_CHANNEL = 0.25
#: How long the others stay away, in seconds.
ASIDE_SHORTEST_SECONDS = 5.0
ASIDE_LONGEST_SECONDS = 1800.0
#: A hold that nobody was told of for so long is over; the next is another.
HOLD_FORGOTTEN_SECONDS = 120.0
#: How long a hold is believed without asking: another worker's probe may have ended it.
HOLD_BELIEVED_SECONDS = 1.0


class Draining(Exception):  # noqa: N818 - not an error: the worker stops
    """The worker stops: hand the message back."""


class Aside(Exception):  # noqa: N818 - not an error: others are to have the place
    """The job's channel is held, and it takes a place that jobs of other channels need: it waits in Redis for ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(order=True, slots=True)
class _Waiter:
    lane: int
    number: int
    future: asyncio.Future[None] = field(compare=False)
    #: When its deadline passes, by the loop's clock.
    until: float = field(compare=False)


@dataclass(slots=True)
class _Hold:
    """A hold of one channel, as this process was told of it."""

    since: float
    told: float


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
        self._holds: dict[str, _Hold] = {}
        self._kept = max(1, round(concurrency * KEPT_OF_A_HELD_CHANNEL))
        self._timer: asyncio.TimerHandle | None = None

    @property
    def wary(self) -> bool:
        """Is a hold known that the next good answer may end?"""
        return self._cautious

    async def enter(self, lane: int, scope: str, number: int | None, patience: float) -> Ticket:
        """Wait to be let in; at the latest ``patience`` seconds from now a closed scope is no reason to wait any more.

        ``number`` keeps a job's place when it has to come back.

        Raises:
            Draining: the worker stops.
            Aside: the channel is held, and others need the place.
        """
        if self._draining:
            raise Draining
        loop = asyncio.get_running_loop()
        if scope in self._holds and self._closed_until[scope] > loop.time():
            away = self._away_seconds(scope)
            if len(self._waiting[scope]) >= self._kept and patience > 2 * away:
                raise self._aside(away)
        place = next(self._numbers) if number is None else number
        waiter = _Waiter(lane, place, loop.create_future(), loop.time() + patience)
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

    def close(self, scope: str, seconds: float, *, held: bool, alone: bool = False) -> None:
        """Asking is of no use for ``seconds``; ``alone`` if jobs of other scopes may go on."""
        if held:
            self._cautious = True
            seconds = min(seconds, HOLD_BELIEVED_SECONDS)
        until = asyncio.get_running_loop().time() + max(0.001, seconds)
        self._closed_until[scope] = max(self._closed_until[scope], until)
        if held and alone:
            self._send_aside(scope)
        elif held:
            self._holds.pop(scope, None)
        self._pump()

    def open(self) -> None:
        """The account answers again."""
        if not self._cautious:
            return
        self._cautious = False
        self._closed_until = dict.fromkeys(SCOPES, 0.0)
        self._pump()

    def drain(self) -> None:
        """Let nobody in any more, and send back all who wait."""
        self._draining = True
        for waiter in itertools.chain(self._overdue, *self._waiting.values()):
            if not waiter.future.done():
                waiter.future.set_exception(Draining())
        for waiters in (self._overdue, *self._waiting.values()):
            waiters.clear()
        if self._timer:
            self._timer.cancel()

    def _send_aside(self, scope: str) -> None:
        """Jobs of a held channel that fill the window would keep those of the other from being fetched.

        They stay away about as long as the hold has lasted, so that never more come back than go, and what lies behind them is
        reached. Whose deadline is near stays: in Redis nobody counts what the hold has taken of it.
        """
        now = asyncio.get_running_loop().time()
        hold = self._holds.get(scope)
        if hold is None or now - hold.told > HOLD_FORGOTTEN_SECONDS:
            hold = self._holds[scope] = _Hold(now, now)
        hold.told = now
        away = self._away_seconds(scope)
        waiting = sorted(self._waiting[scope])
        # A sorted list is a heap.
        self._waiting[scope] = waiting[: self._kept]
        for waiter in waiting[self._kept :]:
            if waiter.until - now <= 2 * away:
                self._waiting[scope].append(waiter)
            elif not waiter.future.done():
                waiter.future.set_exception(self._aside(away))

    def _away_seconds(self, scope: str) -> float:
        lasted = asyncio.get_running_loop().time() - self._holds[scope].since
        return min(ASIDE_LONGEST_SECONDS, max(ASIDE_SHORTEST_SECONDS, lasted))

    @staticmethod
    def _aside(seconds: float) -> Aside:
        # The jitter keeps a crowd that went together from coming back together.
        return Aside(seconds * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, hides nothing

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
