"""Keeps worker processes running: replaces those that die, and passes one signal on however many it gets.

``coupontools-worker run`` becomes ``python -m workers.supervisor`` once the settings are read. The supervisor does nothing but wait while
the worker runs, so it loads no settings, no Redis client and no actors.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from config import setup_logging
from workers.signals import Stop, held_back

__all__ = ["GRACE_SECONDS", "REFUSED", "Supervisor", "main"]

log = logging.getLogger("workers.supervisor")

#: A process that keeps dying is started again after pauses that grow from the first to the last of these, in seconds.
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0
#: A process that lived for so many seconds had started well: when it dies, the pauses begin anew.
HEALTHY_SECONDS = 30.0
#: How long a worker may take beyond SHUTDOWN_SECONDS to hand back the jobs that are left.
GRACE_SECONDS = 20.0
#: How often the supervisor looks whether its processes live.
LOOK_SECONDS = 0.1
#: A process is frozen when it is silent for so many heartbeats, and for so many seconds at least: a busy machine makes pauses, too.
SILENT_BEATS = 4
SILENT_AT_LEAST_SECONDS = 5.0
#: A process that has not begun to beat may still be loading.
LOADING_SECONDS = 60.0
#: A supervisor that has not looked for so long stood still itself, perhaps with its processes: it counts their silence anew.
STOOD_STILL_SECONDS = 2.0
#: The exit code of a worker process that another start would not help: its settings are refused.
REFUSED = 2


@dataclass(slots=True)
class _Place:
    """One place for a worker process."""

    process: subprocess.Popen[bytes] | None = None
    #: The supervisor's end of the process's standard input, by which the process beats, and learns that the supervisor is gone.
    wire: socket.socket | None = None
    beats: bool = False
    heard_at: float = 0.0
    killed: bool = False
    started_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    start_at: float = field(default_factory=time.monotonic)


class Supervisor:
    """Runs ``processes`` worker processes until SIGTERM, SIGINT or SIGHUP; calls ``on_exit`` with the process id of each that ended."""

    def __init__(
        self,
        *,
        processes: int,
        concurrency: int,
        queues: str,
        shutdown_seconds: float,
        heartbeat_seconds: float,
        on_exit: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._places = [_Place() for _ in range(processes)]
        self._command = [
            sys.executable,
            # Without the working directory in the path: a folder there may be called config or workers, too.
            "-P",
            "-m",
            "workers.process",
            f"--concurrency={concurrency}",
            f"--queues={queues}",
        ]
        self._shutdown_seconds = shutdown_seconds
        self._most_silence = max(SILENT_AT_LEAST_SECONDS, SILENT_BEATS * heartbeat_seconds)
        self._looked_at = time.monotonic()
        self._refused = False
        self._on_exit = on_exit
        self._stop = Stop()

    def run(self) -> int:
        """Supervise until a signal says to stop and all workers have drained. Return the exit code."""
        self._stop.listen()
        while not self._refused and not self._stop.wait(LOOK_SECONDS):
            now = time.monotonic()
            stood_still = now - self._looked_at > STOOD_STILL_SECONDS
            self._looked_at = now
            for place in self._places:
                if stood_still:
                    place.heard_at = now
                self._look_after(place, now)
        code = self._drain()
        self._stop.end()
        return REFUSED if self._refused else code

    def _look_after(self, place: _Place, now: float) -> None:
        if place.process is None:
            if now >= place.start_at:
                self._start(place, now)
            return
        code = place.process.poll()
        if code is None:
            self._listen(place, place.process, now)
            return
        pid = place.process.pid
        self._forget(place)
        if code == REFUSED:
            self._refused = True
            return
        place.pause = (
            FIRST_PAUSE_SECONDS
            if now - place.started_at >= HEALTHY_SECONDS
            else min(LONGEST_PAUSE_SECONDS, place.pause * 2)
        )
        place.start_at = now + place.pause
        log.error(
            "worker.died",
            extra={"pid": pid, "exit_code": code, "restart_in_ms": round(place.pause * 1000)},
        )

    def _listen(self, place: _Place, process: subprocess.Popen[bytes], now: float) -> None:
        """Kill a process that has not beaten for too long. A frozen one hears no other signal, and keeps its place and its jobs."""
        with suppress(OSError):
            while place.wire and place.wire.recv(4096):
                place.beats, place.heard_at = True, now
        silent = now - place.heard_at
        if place.killed or silent <= (self._most_silence if place.beats else LOADING_SECONDS):
            return
        log.error("worker.frozen", extra={"pid": process.pid, "silent_s": round(silent)})
        process.kill()
        place.killed = True

    def _start(self, place: _Place, now: float) -> None:
        place.beats, place.heard_at, place.killed = False, now, False
        try:
            ours, its = socket.socketpair()
            with its:
                ours.settimeout(0)
                place.wire = ours
                with held_back():
                    place.process = subprocess.Popen(self._command, stdin=its.fileno(), env=os.environ)  # noqa: S603
        except OSError as error:
            self._hang_up(place)
            # The machine has no memory or no process left just now. The workers that run go on.
            place.pause = min(LONGEST_PAUSE_SECONDS, place.pause * 2)
            place.start_at = now + place.pause
            restart_in_ms = round(place.pause * 1000)
            log.error("worker.not_started", extra={"error": str(error), "restart_in_ms": restart_in_ms})
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
                # Another worker takes over its messages when its heartbeat is missed.
                place.process.kill()
                place.process.wait()
                log.error("worker.killed", extra={"pid": place.process.pid})
                clean = False
            self._forget(place)
        return 0 if clean else 1

    def _forget(self, place: _Place) -> None:
        self._hang_up(place)
        if place.process:
            self._on_exit(place.process.pid)
        place.process = None

    @staticmethod
    def _hang_up(place: _Place) -> None:
        if place.wire:
            place.wire.close()
        place.wire = None


def main(argv: list[str] | None = None) -> int:
    """Supervise as the options say. Return the exit code."""
    parser = argparse.ArgumentParser(prog="workers.supervisor")
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--queues", required=True)
    parser.add_argument("--shutdown-seconds", type=float, required=True)
    parser.add_argument("--heartbeat-seconds", type=float, required=True)
    parser.add_argument("--log-format", choices=("auto", "json", "console"), required=True)
    parser.add_argument("--log-level", required=True)
    parser.add_argument("--metrics-port", type=int)
    options = vars(parser.parse_args(argv))
    setup_logging(options.pop("log_format"), options.pop("log_level"), with_structlog=False)
    port = options.pop("metrics_port")
    if port is None:
        return Supervisor(**options).run()

    # Only here: metrics need the settings and a Redis client.
    from config import load_settings  # noqa: PLC0415
    from workers.metrics import MetricsUnavailable, exposition  # noqa: PLC0415

    try:
        with exposition(load_settings(), port) as process_ended:
            return Supervisor(**options, on_exit=process_ended).run()
    except MetricsUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
