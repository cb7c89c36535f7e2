"""One worker process: Dramatiq's Worker around the event loop, until told to stop or its supervisor is gone.

The supervisor starts it as ``python -m workers.process``. Its standard input is a socket that ends when the supervisor does, and over
which the process sends beats to the supervisor.
"""

from __future__ import annotations

import argparse
import gc
import os
import select
import stat
import sys
import threading
from contextlib import suppress
from typing import Any, NoReturn

from config.spared import spared

with spared():
    # The first import of a library is the one that counts. The last line imports all the rest of a worker.
    import redis  # noqa: F401
    import structlog

    import workers.assembly  # noqa: F401

from dramatiq import Worker

from config import Settings, SettingsError, load_settings, setup_logging
from config.log_line import name_worker
from delivery import Policy
from workers.assembly import assemble
from workers.beats import Beat, beats_folder
from workers.broker import DurableBroker
from workers.signals import Stop
from workers.supervisor import GRACE_SECONDS, REFUSED

__all__ = ["Pulse", "Standstill", "dead_parts", "main", "watch"]

log = structlog.get_logger("workers")

#: How often `watch` looks whether all threads live, in seconds.
LOOK_SECONDS = 1.0
#: After so many looks without a turn of the event loop, the process ends itself and is replaced.
LOOKS_AT_A_STUCK_LOOP = 60
#: How much longer than the longest attempt all places of a process may be taken without one job that ends, in seconds.
STANDSTILL_SECONDS = 60.0
#: How often a process tells its supervisor that it is not frozen, in seconds.
BEAT_SECONDS = 1.0
#: How long a broken process may take to write its last line, in seconds.
LAST_WORDS_SECONDS = 5.0
#: One of Dramatiq's threads is enough: it only hands coroutines to the loop.
HANDING_THREADS = 1
#: Python's garbage collector runs after so many new objects, looks at older ones every 20th time, and at all every thousandth.
COLLECTED_AFTER = (20_000, 20, 50)


def main(argv: list[str] | None = None) -> int:
    """Run the worker until told to stop. Return the exit code."""
    parser = argparse.ArgumentParser(prog="workers.process")
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--queues", default="")
    options = parser.parse_args(argv)
    try:
        settings = load_settings()
    except SettingsError as error:
        for line in error.lines:
            sys.stderr.write(f"{line}\n")
        return 2
    setup_logging(settings.log_format, settings.log_level)

    stop = Stop()
    stop.listen()
    threading.Thread(target=_watch_supervisor, args=(stop,), name="supervisor-watch", daemon=True).start()

    broker = assemble(settings, concurrency=options.concurrency)
    name_worker(broker.broker_id)
    worker = Worker(
        broker, queues=set(filter(None, options.queues.split(","))) or None, worker_threads=HANDING_THREADS
    )
    pulse = Pulse(settings)

    def pause(seconds: float) -> bool:
        pulse.beat()
        return stop.wait(seconds)

    broker.pause = pause
    try:
        worker.start()
        _spare_the_collector()
        watch(worker, broker, stop, pulse)
        # From here on the process only ends its jobs and hands back the rest, and only the supervisor watches it.
        pulse.beat(settings.shutdown_seconds + GRACE_SECONDS)
        worker.stop()
        broker.close()
    finally:
        pulse.end()
    code = REFUSED if broker.refused else 0
    if not broker.loop_closed:
        # Python and libuv would wait for the thread that looks up a host's name. All jobs are handed back by now.
        os._exit(code)
    return code


def _spare_the_collector() -> None:
    """Run Python's garbage collector seldom, and never over objects loaded at start: a job leaves next to no reference cycles behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)


class Pulse:
    """Beats for `check`. A folder that cannot be written stops no work; it is logged once."""

    def __init__(self, settings: Settings) -> None:
        #: How long an attempt may take, in seconds.
        self.longest = Policy.of(settings).longest_attempt
        self._allowed = settings.worker_heartbeat_seconds
        self._settings = settings
        self._beat: Beat | None = None
        self._told = False
        self.beat()

    def turned(self, standing: float) -> None:
        """Write that the loop turned; and for how long no job has ended though all places are taken, if that is too long."""
        self.beat(standing=standing if standing > self.longest else 0)

    def beat(self, more: float = 0, standing: float = 0) -> None:
        """Write that the loop turned, and that the process may be silent for ``more`` seconds longer than usual."""
        try:
            self._beat = self._beat or Beat(beats_folder(**self._settings.few))
            self._beat.beat(self._allowed + more, standing)
        except OSError as error:
            if not self._told:
                log.warning("beat.not_written", error=str(error), setting="STATE_DIR")
            self._told = True

    def end(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            if self._beat:
                self._beat.end()


def watch(worker: Worker, broker: DurableBroker, stop: Stop, pulse: Pulse) -> None:
    """Return when told to stop, or when this worker may not go on. Beat at each look at which the loop has turned.

    End the process when a part of it has died, its loop is stuck, or its jobs do not end.
    """
    looks_in_vain = 0
    standstill = Standstill(broker)
    while not stop.wait(LOOK_SECONDS):
        if broker.refused:
            log.critical("worker.refused", reason=broker.refused)
            return
        if died := dead_parts(worker, broker):
            # Without this part the process would live on and do nothing. End it at once: waiting for a dead loop would never end, and
            # another worker takes over the jobs.
            _end_at_once("worker.part_died", parts=died)
        # Counted in looks, not in seconds: while a machine sleeps, seconds pass and nobody looks.
        looks_in_vain = 0 if broker.loop_turns() else looks_in_vain + 1
        if looks_in_vain >= LOOKS_AT_A_STUCK_LOOP:
            # The heartbeat has a thread of its own and goes on, so nobody would take over the jobs of this process.
            _end_at_once(
                "worker.loop_stuck", seconds=looks_in_vain * LOOK_SECONDS, where=broker.where_loop_is()
            )
        standstill.look()
        if not looks_in_vain:
            pulse.turned(standstill.seconds)
        if standstill.seconds > pulse.longest + STANDSTILL_SECONDS:
            # The jobs wait for something that does not come, and nobody takes over messages that a living worker has in hand.
            _end_at_once("worker.standstill", seconds=round(standstill.seconds))


class Standstill:
    """How long all places of a process have been taken without one job that ended, while Redis answered.

    Counted in looks, as the loop's turns are.
    """

    def __init__(self, broker: DurableBroker) -> None:
        self._broker = broker
        self._full_since: float | None = None
        self._looks = 0

    def look(self) -> None:
        """Look whether a job has left its place since the last look."""
        full_since = self._broker.gate.shares.full_since
        redis_serves = self._broker.link.without is None
        stands = redis_serves and full_since is not None and full_since == self._full_since
        self._looks = self._looks + 1 if stands else 0
        self._full_since = full_since

    @property
    def seconds(self) -> float:
        """For how long no job has ended."""
        return self._looks * LOOK_SECONDS


def _end_at_once(event: str, **fields: Any) -> NoReturn:
    # Arm the exit first: the broken thread may hold the log's lock.
    exit_armed = threading.Timer(LAST_WORDS_SECONDS, os._exit, (1,))
    exit_armed.daemon = True
    exit_armed.start()
    log.critical(event, **fields)
    os._exit(1)


def dead_parts(worker: Worker, broker: DurableBroker) -> list[str]:
    """Return the names of the parts that a worker needs and that have ended."""
    needed = [*worker.consumers.values(), *worker.workers, *broker.parts]
    return [part.name for part in needed if not part.is_alive()]


def _watch_supervisor(stop: Stop) -> None:
    """Beat to the supervisor, and stop when it is gone."""
    wire = sys.stdin.fileno()
    # In a process started by hand, standard input may be a terminal, on which nobody wants to see the beats.
    is_socket = stat.S_ISSOCK(os.fstat(wire).st_mode)
    if is_socket:
        # A supervisor that is frozen itself reads nothing, and must not hold up this thread.
        os.set_blocking(wire, False)
    ended = False
    while not ended:
        if is_socket:
            with suppress(OSError):
                os.write(wire, b".")
        ended = _has_ended(wire)
    stop.tell()


def _has_ended(wire: int) -> bool:
    """Wait for a moment. Return whether the other end is closed."""
    heard, _, _ = select.select([wire], [], [], BEAT_SECONDS)
    try:
        return bool(heard) and not os.read(wire, 64)
    except OSError:
        # The supervisor's end was closed before all beats were read.
        return True


if __name__ == "__main__":
    sys.exit(main())
