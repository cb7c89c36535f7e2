"""Whether Redis can be relied on: does it take writes, may it forget, and did it?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from config import redact_text
from config.keys import Keys
from config.moments import rfc3339
from workers.throughput import count_of

if TYPE_CHECKING:
    import redis

__all__ = ["RedisState", "read_redis", "time_of", "why_it_may_forget"]


@dataclass(frozen=True, slots=True)
class RedisState:
    """What `status`, `check` and metrics show of Redis itself."""

    writable: bool
    #: When Redis was last found to have forgotten something (RFC 3339), and how many times; both are kept for 7 days after the last time.
    forgot_at: str | None = None
    forgot_times: int = 0
    #: Why nothing should be enqueued here, and why jobs may be lost.
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_redis(client: redis.Redis, keys: Keys) -> RedisState:
    """Return the state of Redis.

    Raises:
        redis.RedisError: Redis could not be asked.
    """
    refusal = _refusal(client, keys)
    problems, warnings = why_it_may_forget(client)
    told: Any = client.hmget(keys.forgot, ["at", "times"])
    at, times = told
    forgot_at = time_of(count_of(at)) if at else None
    if at:
        warnings = [
            *warnings,
            f"Redis forgot something: seen at {forgot_at or 'some time'}; jobs may be gone, or carried out twice",
        ]
    if refusal:
        problems = [f"Redis takes no writes: {refusal}", *problems]
    return RedisState(not refusal, forgot_at, count_of(times or b"") or 0, problems, warnings)


def _refusal(client: redis.Redis, keys: Keys) -> str:
    """Return why Redis takes no writes; an empty text if it does."""
    from redis import ResponseError  # noqa: PLC0415 - whoever calls this has loaded it

    try:
        # A member that does not exist is not added, and nothing is changed; a Redis that is full or a replica refuses it all the same.
        client.zadd(keys.heartbeats, {"nobody": 0}, xx=True)
    except ResponseError as error:
        return redact_text(str(error))
    return ""


def why_it_may_forget(client: redis.Redis) -> tuple[list[str], list[str]]:
    """Return what is wrong with the settings of Redis: first the problems, which lose jobs for sure, then the warnings, which may."""
    from redis.exceptions import NoPermissionError  # noqa: PLC0415 - as above

    try:
        told: dict[str, Any] = {}
        for section in ("memory", "persistence", "stats"):
            told |= client.info(section)
    except NoPermissionError:
        return [], ["this user may not ask Redis whether it evicts or persists (INFO)"]
    problems, warnings = [], []
    policy = told.get("maxmemory_policy", "noeviction")
    if told.get("maxmemory") and policy != "noeviction":
        problems.append(f"Redis evicts jobs when it is full: maxmemory-policy is {policy}, set noeviction")
    if not told.get("aof_enabled"):
        warnings.append("Redis forgets jobs when it is restarted: appendonly is no, set yes")
    if evicted := told.get("evicted_keys"):
        warnings.append(f"Redis has evicted {evicted} keys since it started: jobs may be gone")
    return problems, warnings


def time_of(milliseconds: object) -> str | None:
    """Return a time in Unix milliseconds as RFC 3339 in UTC; None if it is no valid time."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    try:
        return rfc3339(milliseconds)
    except (ValueError, OverflowError, OSError):
        return None
