"""Jobs at the gate of one process, for its tests: who waits, who is inside, and whether every place was given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from delivery.gate import Gate, Ticket

LONG = 3600.0
SMS = frozenset({"account/refused", "sms/refused"})
EMAIL = frozenset({"account/refused", "email/refused"})
DEADLINE = 60.0


async def turns(count: int = 5) -> None:
    """Let every task that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def assert_all_slots_are_free(gate: Gate, concurrency: int) -> None:
    """Assert that ``concurrency`` jobs can be inside at once, and not one more."""
    gate.release()
    tickets: list[Ticket] = []
    for _ in range(concurrency):
        async with asyncio.timeout(DEADLINE):
            ticket = await gate.enter("contacts", SMS, None, LONG)
        ticket.claimed()
        tickets.append(ticket)
    more = asyncio.create_task(gate.enter("contacts", SMS, None, LONG))
    await turns()
    assert not more.done()
    more.cancel()
    await asyncio.gather(more, return_exceptions=True)
    for ticket in tickets:
        with gate.inside(ticket):
            pass


class Crowd:
    """Jobs that note when they are let in, and stay until they are told to go."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.inside: list[str] = []
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.leave: dict[str, asyncio.Event] = {}

    async def add(
        self, name: str, lane: str = "contacts", holds: frozenset[str] = SMS, patience: float = LONG
    ) -> None:
        self.leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._job(name, lane, holds, patience))
        await turns()

    async def _job(self, name: str, lane: str, holds: frozenset[str], patience: float) -> None:
        ticket = await self.gate.enter(lane, holds, None, patience)
        with self.gate.inside(ticket):
            ticket.claimed()
            self.order.append(name)
            self.inside.append(name)
            try:
                await self.leave[name].wait()
            finally:
                self.inside.remove(name)

    async def let_go(self, name: str) -> None:
        self.leave[name].set()
        await turns()

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - the condition may be anything, an Event may not
            await asyncio.sleep(0.005)
