"""A replica that takes the place of the workers' Redis when that dies, with the data that it has at that moment."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from tests.harness import wait_for
from workers.embedded import EmbeddedRedis


class Standby:
    """Follows a server. Its data may be some milliseconds old, or as old as the time for which it was frozen."""

    def __init__(self, server: EmbeddedRedis) -> None:
        self._server = server
        self._replica = EmbeddedRedis("--replicaof", "127.0.0.1", str(server.port))

    def __enter__(self) -> Self:
        self._replica.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._replica.__exit__(kind, error, trace)

    def take_over(self, seconds_behind: float) -> None:
        """Kill the server, and start it anew with the replica's data, which lacks the last ``seconds_behind`` seconds."""
        wait_for(self._follows, seconds=60, what="a replica that follows")
        process = self._replica.process
        assert process
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds_behind)
        self._server.kill()
        process.send_signal(signal.SIGCONT)
        with redis.Redis(port=self._replica.port, socket_timeout=60) as client:
            client.replicaof("NO", "ONE")
            # After a full synchronisation, a replica rewrites its file in the background. When that has ended, every write is on its disk.
            wait_for(
                lambda: not client.info("persistence")["aof_rewrite_in_progress"], what="the replica's file"
            )
        self._replica.kill()
        _copy(self._replica.folder, self._server.folder)
        self._server.start()
        self._replica.start()

    def _follows(self) -> bool:
        with redis.Redis(port=self._replica.port, socket_timeout=60) as client:
            try:
                state = client.info("replication")
            except redis.RedisError:
                return False
            return state["role"] == "slave" and state["master_link_status"] == "up"


def _copy(source: Path, target: Path) -> None:
    for old in target.glob("appendonly*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for new in source.glob("appendonly*"):
        shutil.copytree(new, target / new.name) if new.is_dir() else shutil.copy2(new, target)
