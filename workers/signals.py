"""How a process learns that it must stop: by one signal or many, from the supervisor, to the whole process group, or by Ctrl-C."""

from __future__ import annotations

import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Stop", "held_back"]

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stop:
    """Remembers whether this process was told to stop.

    Not a `threading.Event`: a second signal that interrupts its `set()` waits for ever for the lock that the first one holds.
    `SimpleQueue.put` may be interrupted by itself. https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put
    """

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopped = False

    def listen(self) -> None:
        """Listen to the signals from now on, also to those that were held back. To be called from the main thread."""
        for number in STOPPING:
            # `nohup` starts a process with SIGHUP ignored, so that it outlives its terminal.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: self.tell())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    @staticmethod
    def end() -> None:
        """Ignore these signals from now on: Python stops listening before it exits, and a late one would spoil the exit code 0."""
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)

    def tell(self) -> None:
        """Tell the process to stop. Any thread and any signal handler may call this."""
        self._told.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait until the process is told to stop, for ``seconds`` at most. Return whether it was."""
        if not self._stopped:
            try:
                self._told.get(timeout=seconds)
            except queue.Empty:
                return False
            self._stopped = True
        return True


@contextmanager
def held_back() -> Iterator[None]:
    """Block these signals in processes that are started within, until they listen: one that comes sooner would end them half way."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
