"""Keeps worker processes running: replaces those that die, and passes one signal on however many it gets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from workers.signals import Stop, held_back

__all__ = ["Supervisor"]

log = structlog.get_logger("workers.supervisor")

#: A process that keeps dying is started again after pauses that grow from the first to the last of these, in seconds.
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0
#: A process that lived so long had started well.
HEALTHY_SECONDS = 30.0
#: What a worker may take beyond SHUTDOWN_SECONDS to hand back what is left.
GRACE_SECONDS = 20.0
LOOK_SECONDS = 0.1


@dataclass(slots=True)
class _Place:
    """One place for a worker process."""

    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    start_at: float = field(default_factory=time.monotonic)


class Supervisor:
    """Runs ``processes`` worker processes until SIGTERM, SIGINT or SIGHUP; ``on_exit`` is told the id of each that has ended."""

    def __init__(
        self,
        *,
        processes: int,
        concurrency: int,
        queues: list[str],
        shutdown_seconds: float,
        on_exit: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._places = [_Place() for _ in range(processes)]
        self._command = [
            sys.executable,
            # Not the working directory: a folder there may be called config or workers, too.
            "-P",
            "-m",
            "workers.process",
            f"--concurrency={concurrency}",
            f"--queues={','.join(queues)}",
        ]
        self._shutdown_seconds = shutdown_seconds
        self._on_exit = on_exit
        self._stop = Stop()

    def run(self) -> int:
        """Supervises until told to stop and all have drained. Answers the exit code."""
        self._stop.listen()
        while not self._stop.wait(LOOK_SECONDS):
            for place in self._places:
                self._look_after(place)
        return self._drain()

    def _look_after(self, place: _Place) -> None:
        now = time.monotonic()
        if place.process is None:
            if now >= place.start_at:
                self._start(place, now)
            return
        code = place.process.poll()
        if code is None:
            return
        self._forget(place)
        place.pause = (
            FIRST_PAUSE_SECONDS
            if now - place.started_at >= HEALTHY_SECONDS
            else min(LONGEST_PAUSE_SECONDS, place.pause * 2)
        )
        place.start_at = now + place.pause
        log.error("worker.died", exit_code=code, restart_in_ms=round(place.pause * 1000))

    def _start(self, place: _Place, now: float) -> None:
        try:
            with held_back():
                place.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, env=os.environ)  # noqa: S603
        except OSError as error:
            # No memory or no process to be had just now: those that run go on.
            place.pause = min(LONGEST_PAUSE_SECONDS, place.pause * 2)
            place.start_at = now + place.pause
            log.error("worker.not_started", error=str(error), restart_in_ms=round(place.pause * 1000))
        place.started_at = now

    def _drain(self) -> int:
        for place in self._places:
            if place.process and place.process.poll() is None:
                place.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._shutdown_seconds + GRACE_SECONDS
        clean = True
        for place in self._places:
            if place.process is None:
                continue
            try:
                place.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                # Its messages are taken over by another worker once its heartbeat is missed.
                place.process.kill()
                place.process.wait()
                log.error("worker.killed", pid=place.process.pid)
                clean = False
            self._forget(place)
        return 0 if clean else 1

    def _forget(self, place: _Place) -> None:
        if place.process:
            if place.process.stdin:
                place.process.stdin.close()
            self._on_exit(place.process.pid)
        place.process = None
