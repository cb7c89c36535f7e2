"""The script that keeps the queues in order, run for a worker of a test while the clock stands still."""

from __future__ import annotations

import json
from typing import Any

from config.keys import Keys
from tests.harness.still_clock import NOW, StillClock
from workers.broker.scripts import SCRIPTS

KEYS = Keys()
READS, BULK = KEYS.queue("reads"), KEYS.queue("bulk")
ABOUT = '{"silence_ms":1000}'
SILENCE_MS, LETTERS_MS, DAY_MS = 1000, 5000, 86_400_000
LATEST = 2 * NOW
#: What a beat leaves in Redis when there is nothing to do.
ALONE = {
    KEYS.heartbeats: {"w1": NOW},
    KEYS.workers: {"w1": ABOUT},
    KEYS.sweep: {"keeper": "w1", "kept_until": str(NOW + 2000)},
}


def tend(
    still: StillClock,
    *,
    worker: str = "w1",
    about: str = ABOUT,
    silence: int = SILENCE_MS,
    sent_at: int | None = None,
    word: str = "wake",
) -> dict[str, Any]:
    """Tend the queues reads and bulk; return what the script answers, by name."""
    keys = [KEYS.heartbeats, KEYS.workers, KEYS.holds, KEYS.parked, KEYS.sweep, KEYS.suspects]
    for its in (READS, BULK):
        keys += [its.ready, its.bodies, its.delayed, its.stock_delayed, its.stock_delayed_bodies]
        keys += [its.dead, its.dead_bodies, its.dead_reasons, its.deaths]
    sent = still.now if sent_at is None else sent_at
    answer = still.ask(
        SCRIPTS["tend"],
        keys,
        [worker, about, silence, LETTERS_MS, "dramatiq", sent, word, LATEST, "reads", "bulk"],
    )
    names = ("next", "moved", "dead", "now", "problem", "holds", "messages", "kept_for", "astray")
    told = dict(zip(names, answer, strict=True))
    assert told.pop("now") == str(still.now)
    return told


#: The script's answer when there is nothing to do.
NOTHING = {
    "next": -1,
    "moved": 0,
    "dead": [],
    "problem": "",
    "holds": 0,
    "messages": 0,
    "kept_for": 0,
    "astray": [],
}


def put(still: StillClock, *ids: str, queue: str = "reads", body: str = "{}", due: int | None = None) -> None:
    its = KEYS.queue(queue)
    for each in ids:
        still.redis.hset(its.bodies, each, body)
        if due is None:
            still.redis.rpush(its.ready, each)
        else:
            still.redis.zadd(its.delayed, {each: due})


def worker(
    still: StillClock,
    name: str,
    seen: int | None,
    *outstanding: str,
    queue: str = "reads",
    about: str = ABOUT,
) -> None:
    """Write a worker with its outstanding ids, and for each id a message whose message id names it."""
    still.redis.hset(KEYS.workers, name, about)
    if seen is not None:
        still.redis.zadd(KEYS.heartbeats, {name: seen})
    for each in outstanding:
        still.redis.sadd(KEYS.acks(name, queue), each)
        still.redis.hset(KEYS.queue(queue).bodies, each, json.dumps({"message_id": f"m-{each}"}))
