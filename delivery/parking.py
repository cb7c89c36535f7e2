"""Parks messages in Redis before they are claimed, many in one script, when this process knows of a hold that stops them."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from delivery.gate import Gate
from delivery.ledger import Ledger
from delivery.retry import Pause
from delivery.task import Task

__all__ = ["Parking"]

#: Messages that one script parks: while it runs, Redis does nothing else.
PARKED_AT_ONCE = 256


class Parking:
    """Gathers the messages that are parked at nearly the same moment."""

    def __init__(self, ledger: Ledger, gate: Gate) -> None:
        self._ledger = ledger
        self._gate = gate
        self._going: dict[tuple[str, str], list[tuple[Task, asyncio.Future[bool]]]] = defaultdict(list)
        self._moves: set[asyncio.Task[None]] = set()

    async def park(self, hold: str, task: Task) -> bool:
        """Park a message. Return False when the hold is over, so that the job may claim."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        going = self._going[hold, task.place]
        going.append((task, future))
        if len(going) == 1:
            move = asyncio.create_task(self._move(hold, task.place))
            self._moves.add(move)
            move.add_done_callback(self._moves.discard)
        return await future

    async def _move(self, hold: str, place: str) -> None:
        await asyncio.sleep(Pause.gathering)
        going = self._going.pop((hold, place))
        for start in range(0, len(going), PARKED_AT_ONCE):
            some = going[start : start + PARKED_AT_ONCE]
            try:
                parked = await self._ledger.park(hold, [task for task, _ in some])
            except BaseException as error:
                for _, future in going:
                    if not future.done():
                        future.set_exception(
                            error if isinstance(error, Exception) else asyncio.CancelledError()
                        )
                raise
            if not parked:
                self._gate.release()
            for _, future in some:
                if not future.done():
                    future.set_result(parked)
