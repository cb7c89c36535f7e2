"""Told to stop, once or many times: by the supervisor, with the whole process group, or by Ctrl-C."""

from __future__ import annotations

import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Stop", "held_back"]

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stop:
    """Whether this process was told to stop.

    Not a `threading.Event`: a second signal in the midst of its `set()` waits for ever for the lock that the first one holds.
    `SimpleQueue.put` may be interrupted by itself. https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put
    """

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopped = False

    def listen(self) -> None:
        """From now on signals tell it, also those that were held back; from the main thread."""
        for number in STOPPING:
            # `nohup` has the hang-up ignored, and means it.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: self.tell())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def tell(self) -> None:
        """Stop; from any thread and any signal handler."""
        self._told.put(None)

    def wait(self, seconds: float) -> bool:
        """Waits until told, at most so long. Answers whether it was."""
        if not self._stopped:
            try:
                self._told.get(timeout=seconds)
            except queue.Empty:
                return False
            self._stopped = True
        return True


@contextmanager
def held_back() -> Iterator[None]:
    """What is started within gets no such signal before it listens: it would end by it with a traceback, or unawares."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
