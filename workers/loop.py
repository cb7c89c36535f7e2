"""The event loop of a worker process, in a thread of its own, and everything that lives on it."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from actors import Entrance
from config import log_loop_exception
from coupontools import Coupontools
from delivery import Delivery, Ledger, LogLine, Observer
from workers.broker import DurableBroker
from workers.redis_link import AsyncRunner, async_client

__all__ = ["JobLoop"]

log = structlog.get_logger("workers.loop")

#: How long jobs that are cut off at the end of the shutdown may take to note in Redis how far they came, and then the closing of the loop,
#: in seconds.
LAST_WORDS_SECONDS = 2.0


def _new_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's loop, which does the same for less CPU (docs/performance.md), or asyncio's own where there is no uvloop."""
    try:
        import uvloop  # noqa: PLC0415 - not everywhere
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class JobLoop:
    """Runs jobs as coroutines on one loop. ``submit`` is for any thread; the rest for the thread that owns it."""

    def __init__(self, broker: DurableBroker, *, concurrency: int, observers: list[Observer]) -> None:
        self._broker = broker
        self._concurrency = concurrency
        self._observers = observers
        self._loop = _new_loop()
        self._loop.set_exception_handler(log_loop_exception)
        #: asyncio's own loop looks up hosts' names here; uvloop has threads of its own for that.
        self._executor = ThreadPoolExecutor()
        self._loop.set_default_executor(self._executor)
        #: The thread that runs the loop.
        self.thread = threading.Thread(target=self._loop.run_forever, name="jobs", daemon=True)
        self._turn = threading.Event()
        self._turn.set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._entrance: Entrance | None = None

    def start(self) -> None:
        """Start the loop, the API client and the connection to Redis."""
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()

    def entrance(self) -> Entrance:
        """Return the entrance, where messages become jobs. To be called on the loop only."""
        if self._entrance is None:
            raise RuntimeError("the loop has not been started")
        return self._entrance

    def submit(self, job: Coroutine[Any, Any, None]) -> None:
        """Start a job and return."""
        self._loop.call_soon_threadsafe(self._begin, job)

    def turns(self) -> bool:
        """Return whether the loop has had a turn since the last call."""
        if not self._turn.is_set():
            return False
        self._turn.clear()
        self._loop.call_soon_threadsafe(self._turn.set)
        return True

    def where(self) -> str:
        """Return the lines of code that the loop is in just now."""
        frame = sys._current_frames().get(self.thread.ident or 0)  # noqa: SLF001 - made for finding a deadlock, says its documentation
        return "".join(traceback.format_stack(frame)) if frame else ""

    def drain(self, seconds: float) -> None:
        """Begin no more jobs, let those in flight end, and cut off after ``seconds`` those that do not."""
        asyncio.run_coroutine_threadsafe(self._drain(seconds), self._loop).result()

    def stop(self) -> bool:
        """Close what start() opened. Return whether the loop was closed in time.

        uvloop's `close` waits for every look-up of a host's name, which takes minutes while no name server answers; nothing can end it.
        asyncio's does not, but Python would wait for the look-up when the process ends.
        """
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.thread.join()
        closing = threading.Thread(target=self._shut, name="jobs-close", daemon=True)
        closing.start()
        closing.join(LAST_WORDS_SECONDS)
        return not closing.is_alive()

    def _shut(self) -> None:
        self._loop.close()
        self._executor.shutdown()

    async def _open(self) -> None:
        broker = self._broker
        settings, policy = broker.settings, broker.policy
        #: Sends the commands of all jobs.
        self.runner = AsyncRunner(
            async_client(settings.redis_url), broker.link, replicas=settings.redis_wait_replicas
        )
        self._api = Coupontools(
            base_url=settings.coupontools_base_url,
            client_id=settings.coupontools_client_id,
            client_secret=settings.coupontools_client_secret.get_secret_value(),
            connect_timeout=settings.coupontools_connect_timeout_seconds,
            timeout=settings.coupontools_timeout_seconds,
            listing_timeout=settings.coupontools_listing_timeout_seconds,
            max_connections=self._concurrency,
        )
        ledger = Ledger(self.runner, broker.keys, policy, form=lambda: broker.form)
        delivery = Delivery(ledger, self._api, broker.gate, policy, LogLine(self._observers))
        self._entrance = Entrance(delivery, patience=policy.deadline)

    def _begin(self, job: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its message stays outstanding: it is handed back when this worker stops, or taken over when it dies.
            log.critical("job.lost_hold", error=type(error).__name__, exc_info=error)

    async def _drain(self, seconds: float) -> None:
        self._broker.gate.drain()
        # Let the jobs that threads have submitted by now reach the gate, which sends them back.
        await asyncio.sleep(0)
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=max(0.0, seconds))
        left = list(self._jobs)
        if left:
            log.warning("worker.cut_off", jobs=len(left))
            for job in left:
                job.cancel()
            await asyncio.wait(left, timeout=LAST_WORDS_SECONDS)

    async def _close(self) -> None:
        await self.runner.close()
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=LAST_WORDS_SECONDS)
        await self._api.close()
