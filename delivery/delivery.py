"""How a task gets its answer: it waits at the gate, and is attempted until its message is settled or waits in Redis."""

from __future__ import annotations

import asyncio

from coupontools import Coupontools
from delivery.answer import Failure, without_record
from delivery.attempt import Attempt
from delivery.gate import Benched, Draining, Gate, Held
from delivery.job import Outcome
from delivery.ledger import Ledger
from delivery.log_line import LogLine, Trouble
from delivery.means import Means
from delivery.parking import Parking
from delivery.policy import Policy
from delivery.retry import Pause
from delivery.settlement import Postponed
from delivery.task import Task

__all__ = ["Delivery"]


class Delivery:
    """Carries out tasks. One instance per event loop."""

    def __init__(
        self, ledger: Ledger, api: Coupontools, gate: Gate, policy: Policy, log_line: LogLine
    ) -> None:
        self._gate = gate
        self._parking = Parking(ledger, gate)
        self._means = Means(ledger, api, gate, policy, log_line)

    async def deliver(self, task: Task) -> None:
        """Carry out one task until its message is settled or waits in Redis. If the worker stops first, the message stays outstanding."""
        try:
            await self._deliver(task)
        except asyncio.CancelledError:
            self._left(task, "interrupted", "the worker stops")
            raise

    async def _deliver(self, task: Task) -> None:
        place = self._gate.take_number()
        patience = max(0.0, task.seconds_left)
        while True:
            try:
                ticket = await self._gate.enter(task.queue, task.holds, place, patience)
            except Draining:
                self._left(task, "interrupted", "the worker stops")
                return
            except Benched:
                # Without delay: another worker should take it at once.
                await Attempt(self._means, task).settle(Postponed(delay=0))
                self._left(task, "interrupted", "this worker may not call, and others may")
                task.receipt.release()
                return
            except Held as held:
                if await self._parking.park(held.hold, task):
                    self._left(task, "held", held.hold)
                    task.receipt.release()
                    return
                continue
            with self._gate.inside(ticket):
                ended = await Attempt(self._means, task).run(ticket)
            if ended:
                task.receipt.release()
                return
            # After the deadline, do not let the pace keep the job waiting for longer than this.
            patience = max(Pause.overdue, task.seconds_left)

    def _left(self, task: Task, outcome: str, why: str) -> None:
        self._means.log_line.left(task, outcome, Trouble(text=why))

    async def answer_at_once(self, task: Task, outcome: Outcome) -> None:
        """Answer a job for which the API need not be asked."""
        settled = await Attempt(self._means, task).settle(without_record(task, outcome))
        if settled.answered:
            self._means.log_line.finished(task, "succeeded", 0)
        task.receipt.release()

    async def fail_at_once(self, task: Task, failure: Failure) -> None:
        """End a job that breaks the rules, without a look at its record."""
        await Attempt(self._means, task).fail(failure, owned=False)
        task.receipt.release()

    async def postpone(self, task: Task) -> None:
        """Put off a job that can be neither carried out nor answered now, without a look at its record."""
        await Attempt(self._means, task).settle(Postponed(delay=round(Pause.postponed * 1000)))
        task.receipt.release()
