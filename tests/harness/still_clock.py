"""The real scripts with a clock that a test sets, and everything they leave in Redis: for tests of single milliseconds and keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

import delivery
from config.keys import Keys
from delivery import Script, Task
from tests.harness.sync_ledger import SyncRunner

#: 2027-01-15T08:00:00.789Z, and 123 microseconds.
NOW = 1_800_000_000_789
MICROS = 123
CLOCK = "redis.call('TIME')"


class StillClock(SyncRunner):
    """A ScriptRunner whose scripts read the time ``now`` (ms) from the clock; it stands still unless a test moves it."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        self.redis = client
        self.now = NOW

    async def run(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        """Run a script, as delivery does."""
        return self.run_now(script, keys, args)

    def run_now(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        """Run a script, as threads do."""
        seconds, ms = divmod(self.now, 1000)
        source = script.source.replace(CLOCK, f"{{ '{seconds}', '{ms * 1000 + MICROS}' }}")
        return self.redis.eval(source, len(keys), *keys, *args)

    def ask(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        """Run a script and return its answer as text."""
        return _text(self.run_now(script, keys, args))

    def all(self) -> dict[str, Any]:
        """Return every key with its value; for a stream, the fields of its entries."""
        client: Any = self.redis
        read: dict[bytes, Callable[[bytes], Any]] = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"set": client.smembers,
            b"zset": lambda key: dict(client.zrange(key, 0, -1, withscores=True)),
            b"list": lambda key: client.lrange(key, 0, -1),
            b"stream": lambda key: [fields for _, fields in client.xrange(key)],
        }
        return {key.decode(): _text(read[client.type(key)](key)) for key in sorted(client.scan_iter())}

    def lives(self, key: str, ms: int) -> bool:
        """Return whether a key was given this lifetime lately; on a busy machine, that may be minutes ago."""
        left: Any = self.redis.pttl(key)
        return ms * 0.9 - 60_000 < left <= ms


def marked(task: Task, ttl_ms: int) -> dict[str, dict[str, str]]:
    """Return the mark of a message that succeeded at NOW, as Redis stores it; see marks.lua."""
    until = -(-(NOW + ttl_ms) // 1000)
    return {Keys().marks(task.marks): {task.mark: f"{until:08x}{task.asked[:10]}"}}


def _text(value: Any) -> Any:
    match value:
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case list():
            return [_text(each) for each in value]
        case set():
            return {_text(each) for each in value}
        case dict():
            return {_text(name): _text(each) for name, each in value.items()}
    return value


_FIELD = re.compile(r"^  (\w+) = '(\w+)',", re.MULTILINE)


def named(fields: dict[str, str]) -> dict[str, str]:
    """Return a record by the names that record.lua gives its fields."""
    text = (Path(delivery.__file__).parent / "lua" / "record.lua").read_text(encoding="utf-8")
    names = {short: name for name, short in _FIELD.findall(text)}
    return {names[short]: value for short, value in fields.items()}
