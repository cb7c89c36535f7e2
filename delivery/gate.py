"""The gate of one process: which job may claim next, given the places in flight, the account's pace and its holds.

Jobs wait here with nothing but their message. What all workers share (pace, holds) is decided in Redis; the gate only remembers until when
it is useless to ask again, so that a waiting backlog costs next to nothing. shares.py decides how the lanes share the places.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from delivery.retry import Pause
from delivery.shares import LANES, Shares

__all__ = ["Benched", "Draining", "Gate", "Held", "Ticket"]


class Draining(Exception):  # noqa: N818 - not an error: the worker stops
    """The worker stops: hand the message back."""


class Benched(Exception):  # noqa: N818 - not an error: another worker gets the job
    """This process's secret is refused, and another worker's is not: hand the message back."""


class Held(Exception):  # noqa: N818 - not an error: the job is parked
    """The job's account or channel is held: park the message."""

    def __init__(self, hold: str) -> None:
        super().__init__(hold)
        self.hold = hold


@dataclass(order=True, slots=True)
class _Waiter:
    number: int
    lane: str = field(compare=False)
    #: The names of the holds that concern the job.
    holds: frozenset[str] = field(compare=False)
    future: asyncio.Future[None] = field(compare=False)


class Ticket:
    """One job that was let in."""

    def __init__(self, gate: Gate, lane: str) -> None:
        self._gate = gate
        self._claiming = True
        self.lane = lane

    def claimed(self) -> None:
        """Note that the claim has its answer, so that another job may claim."""
        if self._claiming:
            self._claiming = False
            self._gate._claims -= 1  # noqa: SLF001 - two halves of one thing
            self._gate._pump()  # noqa: SLF001


class Gate:
    """Lets at most ``concurrency`` jobs in at a time, from the lanes whose turn it is.

    Belongs to one event loop. Other threads may use only what says so.
    """

    def __init__(self, concurrency: int, *, claims: int | None = None) -> None:
        """``claims`` is how many claims may be under way at once, if more would only be told to wait."""
        #: Who has a place. Other threads may read only `in_flight()` and `full_since`: all else is changed by the event loop meanwhile.
        self.shares = Shares(concurrency)
        self._most_claims = claims or concurrency
        self._claims = 0
        self._draining = False
        self._numbers = itertools.count()
        self._waiting: dict[str, list[_Waiter]] = {lane: [] for lane in LANES}
        self._overdue: list[_Waiter] = []
        self._paced_until = 0.0
        self._yields_until = dict.fromkeys(LANES, 0.0)
        self._preferred: str | None = None
        self._held_until: dict[str, float] = {}
        #: Until when jobs of one kind, told by the holds that concern them, are sent to be parked without a claim.
        self._parked_until: dict[tuple[str, frozenset[str]], float] = {}
        self._benched_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # -- Who waits ------------------------------------------------------------------------------------------------------------

    async def enter(self, lane: str, holds: frozenset[str], number: int | None, patience: float) -> Ticket:
        """Wait to be let in. After ``patience`` seconds, the pace does not keep the job waiting any more.

        ``holds`` names the holds that concern the job. With its old ``number``, a job that comes back keeps its place in the line.

        Raises:
            Draining: the worker stops.
            Benched: this process may not call for now, and other workers may.
            Held: Redis said a moment ago that one of ``holds`` stops jobs of this kind.
        """
        if self._draining:
            raise Draining
        if self.is_benched:
            raise Benched
        loop = asyncio.get_running_loop()
        if hold := self._parks(holds, loop.time()):
            raise Held(hold)
        place = next(self._numbers) if number is None else number
        waiter = _Waiter(place, lane, holds, loop.create_future())
        heapq.heappush(self._waiting[lane], waiter)
        overdue = loop.call_later(max(0.0, patience), self._hurry, waiter)
        self._pump()
        try:
            await waiter.future
        except asyncio.CancelledError:
            self._forget(waiter)
            raise
        finally:
            overdue.cancel()
        return Ticket(self, lane)

    @contextmanager
    def inside(self, ticket: Ticket) -> Iterator[Ticket]:
        """Keep the place of a job that was let in while the block runs."""
        try:
            yield ticket
        finally:
            self.shares.leave(ticket.lane)
            ticket.claimed()
            self._pump()

    def take_number(self) -> int:
        """Return a number behind all jobs that came before."""
        return next(self._numbers)

    @property
    def waiting_lanes(self) -> list[str]:
        """The lanes whose jobs wait here and may have a place. If it were the turn of a lane that may have none, all others would stop."""
        return [lane for lane, waiters in self._waiting.items() if waiters and self.shares.may_take(lane)]

    # -- Listings -------------------------------------------------------------------------------------------------------------

    @contextmanager
    def one_listing(self) -> Iterator[bool]:
        """Count a listing that a job of another lane reads in the block. Yield False, and count nothing, if there is no room for one."""
        if not self.shares.may_list:
            yield False
            return
        try:
            with self.shares.listing():
                yield True
        finally:
            self._pump()

    # -- What Redis answered --------------------------------------------------------------------------------------------------

    def pace(self, seconds: float, lane: str, turn: str) -> None:
        """Ask for no slot for ``seconds``: a claim came too early. If it is the ``turn`` of another lane, this concerns ``lane`` alone."""
        until = asyncio.get_running_loop().time() + max(Pause.paced_first, seconds)
        if turn:
            self._yields_until[lane] = until
            self._preferred = turn
        else:
            self._paced_until = max(self._paced_until, until)
        self._pump()

    def hold(self, name: str, holds: frozenset[str]) -> None:
        """Remember a hold by which Redis stopped a job that ``holds`` concern, and send the jobs of its kind that wait here to be parked.

        Jobs of other kinds ask Redis themselves. Else they would, where they are many, keep away from it the few that may probe this hold.
        Ignore a hold of one kind of call: a job may still be looked up whose call was made before.
        """
        if name.count("/") > 1:
            return
        self._held_until[name] = asyncio.get_running_loop().time() + Pause.hold_believed
        self._parked_until[name, holds] = self._held_until[name]
        for lane, waiters in self._waiting.items():
            going = [waiter for waiter in waiters if waiter.holds == holds]
            if going:
                # A sorted list is a heap.
                self._waiting[lane] = sorted(waiter for waiter in waiters if waiter.holds != holds)
            for waiter in going:
                if not waiter.future.done():
                    waiter.future.set_exception(Held(name))

    def bench(self, seconds: float) -> None:
        """Take nothing for ``seconds``: this process's secret is refused, and another worker's is not."""
        self._benched_until = time.monotonic() + max(Pause.benched_first, seconds)
        self._send_back(Benched)

    @property
    def is_benched(self) -> bool:
        """Must this process take nothing for now? Other threads may ask."""
        return self._benched_until > time.monotonic()

    def release(self) -> None:
        """Forget all known holds, since one of them is over: claims ask Redis again."""
        self._held_until.clear()
        self._parked_until.clear()

    def _parks(self, holds: frozenset[str], now: float) -> str | None:
        if not self._parked_until:
            return None
        return next((name for name in holds if self._parked_until.get((name, holds), 0.0) > now), None)

    def holds_up(self, holds: frozenset[str]) -> str | None:
        """Return one of ``holds`` that is known to be in force, whichever job it stopped."""
        if not self._held_until:
            return None
        now = asyncio.get_running_loop().time()
        return next((name for name in holds if self._held_until.get(name, 0.0) > now), None)

    def drain(self) -> None:
        """Let no job in any more, and send back all that wait."""
        self._draining = True
        self._send_back(Draining)
        if self._timer:
            self._timer.cancel()

    def _send_back(self, why: type[Exception]) -> None:
        for waiter in itertools.chain(self._overdue, *self._waiting.values()):
            if not waiter.future.done():
                waiter.future.set_exception(why())
        for waiters in (self._overdue, *self._waiting.values()):
            waiters.clear()

    # -- Who is next ----------------------------------------------------------------------------------------------------------

    def _forget(self, waiter: _Waiter) -> None:
        if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
            # The job was let in and cancelled in one turn of the loop: its place goes to the next.
            self.shares.leave(waiter.lane)
            self._claims -= 1
            self._pump()
            return
        for waiters in (self._waiting[waiter.lane], self._overdue):
            if waiter in waiters:
                waiters.remove(waiter)
                heapq.heapify(waiters)

    def _hurry(self, waiter: _Waiter) -> None:
        waiters = self._waiting[waiter.lane]
        if waiter.future.done() or waiter not in waiters:
            return
        waiters.remove(waiter)
        heapq.heapify(waiters)
        heapq.heappush(self._overdue, waiter)
        self._pump()

    def _pump(self) -> None:
        if self._draining or self.shares.are_taken or self._claims >= self._most_claims:
            # A job that leaves its place, or whose claim is answered, pumps again.
            return
        if not self._overdue and not any(self._waiting.values()):
            # No job waits: the most frequent case.
            return
        now = asyncio.get_running_loop().time()
        while not self.shares.are_taken and self._claims < self._most_claims:
            waiters = self._next(now)
            if waiters is None:
                break
            waiter = heapq.heappop(waiters)
            if waiter.future.done():
                continue
            self._let_in(waiter)
        self._set_timer(now)

    def _let_in(self, waiter: _Waiter) -> None:
        self.shares.take(waiter.lane)
        self._claims += 1
        self._preferred = None
        waiter.future.set_result(None)

    def _next(self, now: float) -> list[_Waiter] | None:
        if self._overdue and self.shares.may_take(self._overdue[0].lane):
            return self._overdue
        if self._paced_until > now:
            return None
        ready = [lane for lane in self.waiting_lanes if self._yields_until[lane] <= now]
        return self._waiting[min(ready, key=self._rank)] if ready else None

    def _rank(self, lane: str) -> tuple[bool, tuple[bool, float]]:
        """Return a sort key: first the lane whose turn Redis says it is, then the one whose turn it is in this process."""
        return lane != self._preferred, self.shares.rank(lane)

    def _set_timer(self, now: float) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if max(self._paced_until, *self._yields_until.values()) <= now:
            # No lane waits for a time; without a pace, none ever does.
            return
        lanes = self.waiting_lanes
        times = [self._paced_until, *(self._yields_until[lane] for lane in lanes)] if lanes else []
        if pending := [until for until in times if until > now]:
            self._timer = asyncio.get_running_loop().call_at(min(pending), self._pump)
