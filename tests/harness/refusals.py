"""A Redis user for workers, for whom a test may forbid any single command, as an ACL after a failover or a renamed command does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import redis

USER, PASSWORD = "worker", "made-up"
#: The keys that a worker's user may touch: those of the two prefixes.
KEYS = ("~dramatiq:*", "~coupontools:*")
#: Commands that tests and connections send, not workers.
NOT_OURS = frozenset({"auth", "hello", "client", "config", "info", "acl", "flushall", "command", "select"})


class Refusals:
    """Creates the user, and deletes it at the end of the block."""

    def __init__(self, admin: redis.Redis, port: int) -> None:
        self._admin = admin
        self.url = f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}/0"
        self.client = redis.Redis.from_url(self.url, socket_timeout=30)

    def __enter__(self) -> Self:
        self._acl("reset", "on", f">{PASSWORD}", *KEYS, "+@all")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self._admin.execute_command("ACL", "DELUSER", USER)

    @contextmanager
    def refused(self, command: str) -> Iterator[None]:
        """Forbid ``command`` to the user inside the block, also within scripts."""
        self._acl(f"-{command}")
        try:
            yield
        finally:
            self._acl(f"+{command}")

    def forget_calls(self) -> None:
        """Count commands from now on."""
        self._admin.config_resetstat()

    def called(self) -> list[str]:
        """Return the commands that anybody has called since then."""
        stats: Any = self._admin.info("commandstats")
        names = (re.sub("^cmdstat_", "", name).split("|")[0] for name in stats)
        return sorted(set(names) - NOT_OURS)

    def _acl(self, *rules: str) -> None:
        self._admin.execute_command("ACL", "SETUSER", USER, *rules)


def contents(client: redis.Redis) -> dict[str, Any]:
    """Return everything in Redis, in a fixed order, without parts that differ from run to run: times, and the ids of a stream's entries."""
    return {key.decode(): _still(_content(client, key)) for key in sorted(client.scan_iter())}


def _content(client: redis.Redis, key: bytes) -> Any:
    kind: Any = client.type(key)
    match kind:
        case b"string":
            return client.get(key)
        case b"list":
            return sorted(client.lrange(key, 0, -1))
        case b"set":
            return sorted(client.smembers(key))
        case b"zset":
            return client.zrange(key, 0, -1, withscores=True)
        case b"hash":
            return sorted((name, _read(text)) for name, text in client.hgetall(key).items())
        case b"stream":
            return [
                [(name, _read(text)) for name, text in fields.items()] for _, fields in client.xrange(key)
            ]
    raise AssertionError(kind)


def _read(text: bytes) -> Any:
    """Return JSON objects with their fields sorted: Lua writes them in no order."""
    return sorted(json.loads(text).items(), key=str) if text.startswith(b"{") else text


def _still(value: Any) -> str:
    # The seconds of a mark; see marks.lua.
    text = re.sub(r"b'[67][0-9a-f]{7}([0-9a-f]{10})'", r"moment \1", repr(value))
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "moment", text)
    return re.sub(r"\b1[6-9]\d{11}(\d{3})?(\.\d+)?\b", "moment", text)
