"""The pictures of the last hour and the last two days show what was counted, and each minute is read once."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from config.keys import Keys
from tests.harness import House
from tests.workers.web.conftest import Open
from workers.history import KEPT_MINUTES, History
from workers.web.chart import bars, lines
from workers.web.chores import Chores

MARKUP = "<script>alert(1)</script>"


async def test_what_was_answered_stands_in_the_pictures_and_as_numbers(house: House, page: Open) -> None:
    minute = int(house.redis.time()[0]) // 60
    key = "coupontools:minute"
    # Minutes well within the two spans, so that the end of the present minute does not matter.
    house.redis.hset(
        f"{key}:{minute - 30}",
        mapping={"contacts|succeeded": 1200, "contacts|first": 1, "bulk|failed:rejected": 7},
    )
    house.redis.hset(
        f"{key}:{minute - 1500}", mapping={f"{MARKUP}|failed:{MARKUP}": 5, "contacts|replayed": "none"}
    )
    async with page() as browser:
        await browser.sign_in()
        text = (await browser.get("/before")).text
        hour, days = text.split("The last two days")
        assert "1,200 succeeded, 7 rejected</title>" in hour
        assert re.search(
            r'<th scope="row">succeeded</th>(<td class="number">\S+</td>)*<td class="number">1,200</td>', hour
        )
        assert re.search(r'<th scope="row">failed: rejected</th>', days)
        assert "&lt;script&gt;alert(1)" in days
        assert MARKUP not in text
        assert "its age was not noted" in hour


async def test_the_age_of_the_oldest_is_noted_and_minutes_that_are_over_are_read_once(
    house: House, page: Open
) -> None:
    house.push("contacts", "old", json.dumps({"message_timestamp": 1, "options": {}}))
    async with page() as browser:
        Chores(browser.desk).do()
        keys = Keys.of(browser.desk.settings)
    history = History()
    this, minutes = history.read(house.redis, keys)
    assert len(minutes) == KEPT_MINUTES
    (noted,) = [minute.ages for minute in minutes.values() if minute.ages]
    assert noted["contacts"] > 1_000_000_000
    assert noted["bulk"] == 0
    (name,) = house.redis.keys("coupontools:age:*")
    assert 0 < house.redis.ttl(name) <= 2 * 86400

    def asked() -> int:
        told: Any = house.redis.info("commandstats")
        return int(told["cmdstat_hgetall"]["calls"])

    before = asked()
    again, _ = history.read(house.redis, keys)
    assert asked() - before <= 2 * (3 + again - this)


@pytest.mark.parametrize("most", [0, 1, 3, 5, 99, 1234, 86_400])
def test_nothing_is_drawn_outside_of_its_picture(most: int) -> None:
    columns = bars("t", {"a": [0, most], "b": [most, most]}, [], str)
    ages = lines("t", {"a": [None, most], "b": [1, None], "c": [most, most], "d": [None, None]}, [], str)
    for bar in columns.bars:
        assert columns.left <= bar.x
        assert bar.x + bar.width <= columns.right + 1
        assert bar.y >= 0
        assert bar.y + bar.height <= columns.bottom + 0.2
    points = [point for line in ages.lines for piece in line.pieces for point in piece.split()]
    for x, y in (map(float, point.split(",")) for point in points):
        assert ages.left - 2 <= x <= ages.right + 2
        assert 0 <= y <= ages.bottom
    assert all(0 < line.end <= ages.bottom for line in ages.lines)
    assert len({line.end for line in ages.lines}) == len(ages.lines)
