"""The broker's scripts that fetch messages and hand them back, called for a worker of a test."""

from __future__ import annotations

from typing import Any

import redis

from config.keys import Keys
from workers.broker.scripts import SCRIPTS
from workers.redis_link import ThreadRunner

__all__ = ["fetch", "fetch_arguments", "fetch_keys", "hand_back", "hand_back_keys"]

KEYS = Keys()
ABOUT = '{"silence_ms": 1000}'
ROOM, LONGEST = 1 << 30, 1 << 20


def fetch_keys(queue: str, worker: str, others: tuple[str, ...] = ()) -> list[str]:
    """Return the keys of a fetch from ``queue`` by a worker that serves ``others``, too."""
    its = KEYS.queue(queue)
    return [
        its.ready,
        its.bodies,
        KEYS.acks(worker, queue),
        its.delayed,
        its.forward,
        KEYS.epoch(worker, queue),
        KEYS.heartbeats,
        KEYS.workers,
        its.deaths,
        KEYS.suspects,
        *(KEYS.acks(worker, each) for each in (queue, *others)),
    ]


def fetch_arguments(queue: str, worker: str, most: int, room: int = ROOM, epoch: int = 1) -> list[Any]:
    """Return the arguments of a fetch."""
    return [most, room, LONGEST, epoch, worker, ABOUT, queue, 5, 3]


def fetch(
    client: redis.Redis,
    queue: str,
    worker: str,
    most: int = 10,
    *,
    room: int = ROOM,
    epoch: int = 1,
    others: tuple[str, ...] = (),
) -> list[tuple[str, bytes | int | None, int]]:
    """Fetch messages; return for each its id, its body and how many workers died with it."""
    arguments = fetch_arguments(queue, worker, most, room, epoch)
    _, _, _, *flat = ThreadRunner(client).run(SCRIPTS["fetch"], fetch_keys(queue, worker, others), arguments)
    rows = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return [(entry_id.decode(), body, int(deaths)) for entry_id, body, deaths in rows]


def hand_back_keys(queue: str, worker: str) -> list[str]:
    """Return the keys of handing back."""
    its = KEYS.queue(queue)
    return [its.ready, its.bodies, KEYS.acks(worker, queue), KEYS.epoch(worker, queue)]


def hand_back(client: redis.Redis, queue: str, worker: str, which: str, *ids: str, epoch: int = 1) -> int:
    """Hand messages back; return how many."""
    arguments = [which, epoch, *ids]
    return int(ThreadRunner(client).run(SCRIPTS["hand_back"], hand_back_keys(queue, worker), arguments))
