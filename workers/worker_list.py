"""The worker processes, as they describe themselves with their heartbeats."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from config import Settings
from config.keys import Keys

if TYPE_CHECKING:
    import redis

__all__ = [
    "AccountUnknown",
    "WorkerState",
    "account_keys",
    "known_account_keys",
    "read_workers",
    "wrong_pair",
]

#: A worker that was seen within this time is taken to live, whatever its heartbeat.
LIVES_SECONDS: Final = 60.0
#: The fields of a worker's description of itself, and their types.
_ABOUT: Final[dict[str, type | tuple[type, ...]]] = {
    "queues": list,
    "host": str,
    "pid": int,
    "account": str,
    "rate": (int, float),
    "without": str,
    "silence_ms": (int, float),
}


class AccountUnknown(Exception):  # noqa: N818 - says what is not known
    """The account is not known: no worker is listed with one, and the settings name none."""

    def __init__(self) -> None:
        super().__init__(
            "no worker runs that would tell which account is meant; start one, or set COUPONTOOLS_CLIENT_ID"
        )


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker process."""

    id: str
    queues: list[str]
    host: str
    pid: int
    seen_seconds_ago: float
    #: How long a silence means that it is dead: its own WORKER_HEARTBEAT_SECONDS, not the setting of the process that looks.
    silence_seconds: float
    #: The account whose jobs it carries out (``Settings.account``).
    account: str
    #: API requests a second, by this worker's setting; None for a worker of an older version.
    rate: float | None
    #: How many jobs of each queue have a place in it; its other fetched jobs wait for one. None for a worker of an older version.
    in_flight: dict[str, int] | None = None
    #: Why Redis does not serve this worker, though it takes its heartbeats; None if it does.
    without: str | None = None

    @property
    def lives(self) -> bool:
        """Return whether the worker was seen within its own time of silence."""
        return self.seen_seconds_ago <= self.silence_seconds

    def running(self, queue: str, fetched: int) -> int:
        """Return how many of its ``fetched`` jobs of a queue are in flight; 0 for a silent worker."""
        if not self.lives:
            return 0
        return fetched if self.in_flight is None else min(fetched, self.in_flight.get(queue, 0))


def read_workers(client: redis.Redis, settings: Settings) -> list[WorkerState]:
    """Return the worker processes that have not signed off, the one seen latest first."""
    keys = Keys.of(settings)
    with client.pipeline(transaction=False) as pipeline:
        pipeline.time()
        pipeline.hgetall(keys.workers)
        (seconds, micros), told = pipeline.execute()
    now = seconds + micros / 1e6
    seen: Any = client.zmscore(keys.heartbeats, list(told)) if told else []
    workers = []
    for (worker_id, text), at in zip(told.items(), seen, strict=True):
        if at is None:
            continue
        about = _about(text)
        workers.append(
            WorkerState(
                id=worker_id.decode("utf-8", "backslashreplace"),
                queues=[queue for queue in about.get("queues", []) if isinstance(queue, str)],
                host=about.get("host", ""),
                pid=about.get("pid", 0),
                seen_seconds_ago=round(max(0.0, now - float(at) / 1000), 3),
                silence_seconds=about.get("silence_ms", settings.worker_heartbeat_seconds * 1000) / 1000,
                account=about.get("account", ""),
                rate=about.get("rate"),
                in_flight=_counts(about.get("in_flight")),
                without=about.get("without"),
            )
        )
    return sorted(workers, key=lambda worker: worker.seen_seconds_ago)


def _about(text: bytes) -> dict[str, Any]:
    """Return a worker's description, without fields of a wrong type: anybody may write to the hash."""
    try:
        about = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    told = about.items() if isinstance(about, dict) else ()
    return {name: value for name, value in told if isinstance(value, _ABOUT.get(name, object))}


def _counts(told: object) -> dict[str, int] | None:
    if not isinstance(told, dict):
        return None
    return {name: count for name, count in told.items() if isinstance(count, int)}


def account_keys(settings: Settings, workers: list[WorkerState]) -> Keys:
    """Return the keys of the account of the worker that was seen latest, so that commands that only read need no client id."""
    account = next((worker.account for worker in workers if worker.account), settings.account)
    return dataclasses.replace(Keys.of(settings), account=account)


def wrong_pair(client: redis.Redis, settings: Settings) -> str | None:
    """Return what is wrong if living workers use one of our two key names, but not the other; None if none do.

    They would carry out the jobs that we enqueue and count them elsewhere, or nobody would carry them out.
    """
    keys = Keys.of(settings)
    told: Any = client.mget(keys.prefix_of, keys.namespace_of)
    for key, setting, name in zip(
        (keys.prefix_of, keys.namespace_of), ("key_prefix", "broker_namespace"), told, strict=True
    ):
        ours, theirs = getattr(settings, setting), name and name.decode("utf-8", "replace")
        if theirs in {None, ours}:
            continue
        workers = read_workers(client, settings.model_copy(update={setting: theirs}))
        if any(worker.seen_seconds_ago < LIVES_SECONDS for worker in workers):
            return (
                f"{setting.upper()}: workers run under {theirs}, as the key {key} says, and not under {ours}; "
                "KEY_PREFIX and BROKER_NAMESPACE must be those of the workers"
            )
    return None


def known_account_keys(settings: Settings, workers: list[WorkerState]) -> Keys:
    """Return the keys as `account_keys` does, for commands that change something of the account.

    Raises:
        AccountUnknown: no worker is listed with an account, and the settings name none.
    """
    if not settings.coupontools_client_id and not any(worker.account for worker in workers):
        raise AccountUnknown
    return account_keys(settings, workers)
