"""Writes holds as the scripts store them, for tests of the code that reads them."""

from __future__ import annotations

import json
from typing import Any

import redis

from config.keys import Keys
from tests.harness.sync_ledger import now_ms


def put_hold(client: redis.Redis, keys: Keys, name: str, **fields: Any) -> dict[str, Any]:
    """Write a hold that is due for a probe, unless ``fields`` say otherwise; return it."""
    scope, kind = name.split("/")[:2]
    hold = {
        "scope": scope,
        "kind": kind,
        "code": "",
        "message": "no",
        "worker": "here:1",
        "since": 1,
        "retry_at": 1,
        "interval": 1000,
        "probe": "",
        "call": "sms/add_contact",
        **fields,
    }
    client.hset(keys.holds, name, json.dumps(hold))
    if kind in {"refused", "paused"}:
        client.hset(keys.still, scope, hold["since"])
    return hold


def put_past_hold(client: redis.Redis, keys: Keys, view: str, since: int, until: int) -> None:
    """Write that the deadlines of a scope stood still once."""
    total = client.hincrby(keys.still, f"{view}:sum", until - since)
    client.zadd(keys.held(view), {f"{since}:{until}:{total}": until})


def hours_ago(hours: float) -> int:
    """Return a time in milliseconds of Redis's clock."""
    return now_ms() - round(hours * 3_600_000)
