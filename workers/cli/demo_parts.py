"""What the demo runs on: a private Redis, the API stand-in and a worker, all on this machine and all gone at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from config import Settings
from config.keys import Keys
from sandbox import Sandbox
from workers.embedded import EmbeddedRedis, die_with_parent
from workers.redis_link import sync_client

__all__ = ["DemoError", "Parts"]

#: How soon the worker asks the API what became of a call whose answer was lost, in seconds: the demo is for people who wait.
READ_BACK_SECONDS = 1
#: How long the worker may take to stop, in seconds.
STOP_SECONDS = 10.0
_IMPORT_ROOT = str(Path(__file__).parents[2])


class DemoError(Exception):
    """The demo cannot go on; the message is a sentence for the user."""


class Parts:
    """Starts the parts on entry and stops them on exit, the worker first."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.keys = Keys()

    def __enter__(self) -> Self:
        """Starts everything.

        Raises:
            NoRedisServer: there is none on this machine.
            DemoError: a part did not start.
        """
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coupontools-demo-")))
            try:
                self.server = stack.enter_context(EmbeddedRedis())
                self.sandbox = stack.enter_context(Sandbox())
            except RuntimeError as error:
                raise DemoError(str(error)) from error
            self.client: redis.Redis = stack.enter_context(sync_client(self.server.url))
            self._start_worker(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def check_worker(self) -> None:
        """Makes sure that the worker still runs.

        Raises:
            DemoError: it ended; with the end of its log.
        """
        code = self._worker.poll()
        if code is not None:
            raise DemoError(f"the worker ended with exit code {code}; the end of its log:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines that the worker wrote."""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])

    def _start_worker(self, stack: ExitStack) -> None:
        self._log = self._folder / "worker.log"
        with self._log.open("wb") as log:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "workers.cli", "run", "--processes", "1"],
                # An empty folder: a .env of the user's is not for the demo.
                cwd=self._empty_folder(),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the demo, which stops the worker in its turn.
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock taken
            )
        stack.callback(self._stop_worker)

    def _stop_worker(self) -> None:
        self._worker.terminate()
        try:
            self._worker.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait()

    def _empty_folder(self) -> Path:
        folder = self._folder / "empty"
        folder.mkdir()
        return folder

    def _environment(self) -> dict[str, str]:
        """The demo's own settings and none of the user's, which may be in any letter case."""
        settings = {*Settings.model_fields, "secrets_dir"}
        kept = {name: value for name, value in os.environ.items() if name.lower() not in settings}
        paths = [_IMPORT_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(paths),
            "REDIS_URL": self.server.url,
            "COUPONTOOLS_BASE_URL": self.sandbox.url,
            "COUPONTOOLS_CLIENT_ID": self.sandbox.config.client_id,
            "COUPONTOOLS_CLIENT_SECRET": str(self.sandbox.config.client_secret),
            "COUPONTOOLS_RATE_LIMIT": "0",
            "READ_BACK_AFTER_SECONDS": str(READ_BACK_SECONDS),
            "RETRY_MIN_SECONDS": "0.1",
            "SHUTDOWN_SECONDS": "3",
            "LOG_FORMAT": "json",
        }
