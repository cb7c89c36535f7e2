"""The caretaker: a thread that sends this worker's heartbeat and keeps the queues in order, whatever the jobs do."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import Any

import orjson
import structlog
from redis.exceptions import ResponseError

from config import redact_text
from delivery import Changes, tell, unparking
from workers.broker.durable import DEAD_LETTER_MS, DurableBroker
from workers.broker.enrolment import FORMS
from workers.broker.entries import LATEST
from workers.broker.scripts import SCRIPTS
from workers.broker.strays import Strays
from workers.redis_link import ThreadRunner, is_outage, sync_client

__all__ = ["Caretaker"]

log = structlog.get_logger("workers.caretaker")

#: How often delayed messages are looked at when none is known to be due sooner, in seconds.
TICK_SECONDS = 0.25
#: tend.lua moves at most this many messages of a queue in one run; if it moved as many, it runs again at once.
BATCH = 200
#: How many messages are checked in one tick for a deadline that passed, or a mark that cancels them: some 1,000 a second.
LOOKED_AT = 250
#: After a failure of Redis nobody is called dead for this share of the heartbeat time: by then every living worker is heard again.
SETTLING = 0.5
#: How often a fault that stays is logged, in seconds.
FAULT_AGAIN_SECONDS = 60.0
#: Most characters of the reason why Redis does not serve this worker.
WHY_CHARACTERS = 200
#: The caretaker's name at the link.
WHO = "caretaker"
#: How many heartbeats a worker sends in the time after which a silent one counts as dead.
BEATS = 4


class Caretaker(threading.Thread):
    """Heartbeat, promotion of due messages, takeover of dead workers' messages, expiry of dead letters."""

    def __init__(self, broker: DurableBroker, *, heartbeat_seconds: float, queues: list[str]) -> None:
        super().__init__(name="caretaker", daemon=True)
        self._broker = broker
        self._silence = heartbeat_seconds
        self._ending = threading.Event()
        self._client = sync_client(broker.settings.redis_url)
        self._runner = ThreadRunner(self._client)
        self._steady_since = time.monotonic()
        self._ticked_at = time.monotonic()
        self._beat_at = 0.0
        self._fault_told = ("", 0.0)
        #: Redis's clock minus this process's monotonic clock at the last answer, in milliseconds.
        self._clock_ms = 0.0
        self._queues = sorted(broker.get_declared_queues())
        self._look_at = 0.0
        #: The part of this worker's description that does not change.
        self._facts = {
            "queues": sorted(queues),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": round(time.time() * 1000),
            "silence_ms": round(heartbeat_seconds * 1000),
            "reads": FORMS,
            "account": broker.keys.account,
            "secret": broker.settings.secret_name,
            "rate": broker.settings.coupontools_rate_limit,
        }
        # The description that was written last, and when.
        broker.about = self._say()
        self._said_at = 0.0
        #: Until when another worker keeps the queues for all (`time.monotonic()`).
        self._kept_until = 0.0
        self._strays = Strays(broker, self._client)
        #: Queues that seemed to have strays at the last heartbeat.
        self._astray: set[bytes] = set()

    def _say(self) -> bytes:
        """Return this worker's description, with how many of its fetched messages have a place (the others wait for one)."""
        told = {**self._facts, "in_flight": self._broker.gate.shares.in_flight()}
        if why := self._broker.link.without:
            # Redis serves the heartbeat, but refuses something that the jobs need.
            told["without"] = redact_text(why)[:WHY_CHARACTERS]
        return orjson.dumps(told)

    def run(self) -> None:
        """Tick until stopped."""
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                pause = self._tick()
                self._broker.link.answered(WHO)
            except Exception as error:
                if not is_outage(error):
                    self._tell_fault(error)
                    pause = TICK_SECONDS
                else:
                    pause = self._broker.link.lost(WHO, error, began)
                # While Redis was away no heartbeat arrived: give every worker time to be heard before calling any dead.
                self._steady_since = time.monotonic()
                self._beat_at = 0.0
            self._ending.wait(pause)

    def stop(self) -> None:
        """Leave the list of workers, if Redis answers: everything was handed back before."""
        self._ending.set()
        self.join()
        keys = self._broker.keys
        acks = [keys.acks(self._broker.broker_id, queue) for queue in self._queues]
        began = time.monotonic()
        try:
            if not self._broker.deserted.is_set():
                # Jobs that were cut off have put their messages off: those that are due go back to their queues before the worker is gone.
                while self._tick() == 0:
                    pass
                self._runner.run(
                    SCRIPTS["leave"],
                    [keys.heartbeats, keys.workers, keys.suspects, *acks],
                    [self._broker.broker_id],
                )
        except Exception as error:
            if not is_outage(error):
                raise
            self._broker.link.lost(WHO, error, began)
        self._client.close()

    def _tell_fault(self, error: Exception) -> None:
        """Log a fault; one that stays is logged every now and then, not at every tick."""
        text, told_at = self._fault_told
        if str(error) == text and time.monotonic() - told_at < FAULT_AGAIN_SECONDS:
            return
        self._fault_told = (str(error), time.monotonic())
        log.error("caretaker.fault", exc_info=error)

    def _tick(self) -> float:
        """Look at everything once. Return how long to rest, in seconds."""
        now = time.monotonic()
        if now - self._ticked_at > self._silence * SETTLING:
            # This process was frozen, perhaps with all others on this machine: give them time to be heard before calling any dead.
            self._steady_since = now
        self._ticked_at = now
        beat = now - self._beat_at >= self._silence / BEATS
        steady = now - self._steady_since >= self._silence * SETTLING
        about = self._say()
        if not beat and now < self._kept_until and not self._broker.draining.is_set():
            self._told(about, now, beat=False)
            return self._rest(now, -1, longest=TICK_SECONDS)
        next_due, moved, dead, clock_ms, problem, on_hold, messages, kept_ms, astray = self._tend(
            now, about if beat else b"", steady=steady
        )
        answered_at = time.monotonic()
        clock_ms = int(clock_ms) - answered_at * 1000
        if answered_at - now > self._silence / BEATS or abs(clock_ms - self._clock_ms) > self._silence * 500:
            # While Redis was this slow, others may not have been heard either; and once a clock was set, it does not show who was silent.
            self._steady_since = answered_at
        self._clock_ms = clock_ms
        if beat:
            self._beat_at = now
            self._broker.on_beat()
        self._tell(dead, problem)
        self._told(about, now, beat=beat)
        self._kept_until = answered_at + kept_ms / 1000
        if kept_ms:
            return self._rest(now, next_due, longest=TICK_SECONDS)
        if messages:
            self._bring_forward(now)
        if beat:
            # Search if there seem to be strays at two heartbeats in a row: a producer may write a message a moment before it pushes its id.
            again, self._astray = self._astray & set(astray), set(astray)
            if again:
                self._strays.begin(sorted(queue.decode() for queue in again))
        search = self._strays.turn()
        if moved + (self._unpark(busy=messages > 0) if on_hold else 0) >= BATCH:
            return 0.0
        return self._rest(now, next_due, longest=TICK_SECONDS if search is None else search)

    def _tell(self, dead: list[tuple[bytes, int, list[bytes]]], problem: bytes) -> None:
        """Log which workers were taken over, and what is wrong with a queue.

        Raises:
            ResponseError: Redis refused something.
        """
        for worker, messages, ids in dead:
            log.warning(
                "worker.taken_over",
                from_worker=worker.decode("utf-8", "backslashreplace"),
                messages=messages,
                message_ids=[one.decode("utf-8", "backslashreplace") for one in ids],
            )
        if problem:
            fault = ResponseError(problem.decode("utf-8", "replace"))
            if is_outage(fault):
                raise fault
            self._tell_fault(fault)

    def _told(self, about: bytes, now: float, *, beat: bool) -> None:
        """Write this worker's description between two heartbeats, too, if it has changed."""
        if not beat and (about == self._broker.about or now - self._said_at < TICK_SECONDS):
            return
        if not beat:
            self._client.hset(self._broker.keys.workers, self._broker.broker_id, about.decode())
        self._broker.about, self._said_at = about, now

    def _tend(self, now: float, about: bytes, *, steady: bool) -> Any:
        """Return what tend.lua answers; ``about`` is this worker's description at a heartbeat, and empty between."""
        keys = self._broker.keys
        queue_keys: list[str] = []
        for queue in self._queues:
            k = keys.queue(queue)
            queue_keys += [k.ready, k.bodies, k.delayed, k.stock_delayed, k.stock_delayed_bodies]
            queue_keys += [k.dead, k.dead_bodies, k.dead_reasons, k.deaths]
        return self._runner.run(
            SCRIPTS["tend"],
            [
                keys.heartbeats,
                keys.workers,
                keys.holds,
                keys.parked,
                keys.sweep,
                keys.suspects,
                *queue_keys,
            ],
            [
                self._broker.broker_id,
                about,
                round(self._silence * 1000) if steady else 0,
                DEAD_LETTER_MS,
                keys.namespace,
                round(self._clock_ms + now * 1000),
                "all" if self._broker.draining.is_set() else "wake",
                LATEST,
                *self._queues,
            ],
        )

    def _rest(self, now: float, next_due: int, *, longest: float) -> float:
        """Return how long to rest, in seconds: until the next heartbeat, or until something falls due."""
        until_beat = self._silence / BEATS - (now - self._beat_at)
        rest = min(longest, max(0.01, until_beat))
        return rest if next_due < 0 else min(rest, max(0.001, next_due / 1000))

    def _unpark(self, *, busy: bool) -> int:
        """Bring back messages parked by holds that are over, and let out the probes of holds that last. Return how many messages moved."""
        moved, changes = self._runner.run(
            *unparking(self._broker.keys, self._broker.events_maxlen, busy=busy)
        )
        tell(Changes.read(changes))
        return int(moved)

    def _bring_forward(self, now: float) -> None:
        """Bring forward messages in no worker's hands that are past their deadline or cancelled, unless another worker does it now."""
        if now < self._look_at:
            return
        keys = self._broker.keys
        queue_keys: list[str] = []
        for queue in self._queues:
            k = keys.queue(queue)
            queue_keys += [k.ready, k.bodies, k.delayed, k.forward]
        again, _ = self._runner.run(
            SCRIPTS["overdue"],
            [keys.sweep, keys.parked, keys.holds, keys.cancelled, *queue_keys],
            [
                self._broker.broker_id,
                round(self._broker.policy.deadline * 1000),
                LOOKED_AT,
                round(self._broker.policy.longest_wait * 1000),
                *self._queues,
            ],
        )
        self._look_at = now + again / 1000 - TICK_SECONDS / 2
