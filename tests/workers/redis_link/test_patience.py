"""A Redis that went away is waited for, and told once; what is wrong with the question is not waited for."""

from __future__ import annotations

import json

import pytest
import redis

from tests.harness import House
from workers.redis_link import Patience, sync_client
from workers.stream import follow

EVENT = {"id": "m-1", "type": "coupontools.x", "time": "2026-01-01T00:00:00.000Z", "data": {}}


def _write(house: House, number: int) -> None:
    event = {**EVENT, "id": f"m-{number}"}
    house.redis.xadd("coupontools:events", {"type": EVENT["type"], "event": json.dumps(event)})


def test_whoever_follows_the_stream_goes_on_when_redis_is_back(fragile_house: House) -> None:
    house, told = fragile_house, list[str]()

    def say(text: str) -> None:
        told.append(text)
        if len(told) == 1:
            house.server.start()

    with sync_client(house.server.url) as client:
        patience = Patience(say)
        coming = follow(client, "coupontools:events", "0-0", patience=patience)
        _write(house, 1)
        seen = [next(coming)]
        house.server.kill()
        seen.append(next(coming))
        _write(house, 2)
        while seen[-1] is None:
            seen.append(next(coming))
        assert [event.event["id"] for event in seen if event] == ["m-1", "m-2"]
        assert told[0].startswith("Redis does not answer: ")
        assert told[0].endswith("; waiting for it")
        assert told[1:] == ["Redis is back"]
        assert not patience.is_away
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            patience.ask(lambda: client.get("coupontools:events"))
        house.server.kill()
        impatient = Patience(told.append, lambda _: True)
        with pytest.raises(redis.ConnectionError):
            impatient.ask(client.ping)
        assert impatient.is_away
