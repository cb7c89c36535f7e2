"""The page Now says what `status` says, and pauses and resumes as the command line does."""

from __future__ import annotations

import asyncio
import json
import select
import signal
import socket
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import ExitStack, suppress
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from structlog.testing import capture_logs

from tests.harness import House, wait_for
from tests.harness.web import TOKEN, WebProcess
from tests.workers.web.conftest import Open
from workers.web.chores import Chores
from workers.web.live import Lives
from workers.web.now import look
from workers.web.server import MOST_OPEN

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"


async def test_it_shows_what_status_shows(house: House, page: Open) -> None:
    house.enqueue_many(
        "add_contact", [{"channel": "sms", "group_id": "gro_1", "phone": "+3247000000"}] * 1234
    )
    house.push("misspelt", "id", "{}")
    async with page() as browser:
        await browser.sign_in()
        Chores(browser.desk).do()
        text = (await browser.get("/")).text
        assert '<td data-label="Ready" class="number">1,234</td>' in text
        assert "no worker takes what waits in contacts, misspelt" in text
        assert "no worker is running" in text
        # How long the queue will take is not known: whatever stops it, a hold for example, may end at any time.
        assert ">not known<" in text


async def test_a_pause_is_a_form_with_a_reason_and_shown_as_text(house: House, page: Open) -> None:
    async with page() as browser:
        await browser.sign_in()
        reason = f"{MARKUP} ask +32470123456"
        answer = await browser.send("/pause", {"scope": "sms", "reason": reason})
        assert "sms is paused" in answer.text
        assert "paused by an operator" in answer.text
        assert MARKUP not in answer.text
        assert "&lt;script&gt;alert(2)" in answer.text
        # The reason is masked, as in the log.
        assert "+32470123456" not in answer.text
        (hold,) = [event for event in house.events() if event["type"].endswith("account.held")]
        assert (hold["data"]["scope"], hold["data"]["message"][: len(MARKUP)]) == ("sms", MARKUP)
        # The page says so once.
        assert "sms is paused" not in (await browser.get("/")).text
        assert "sms was paused already" in (await browser.send("/pause", {"scope": "sms"})).text
        assert "the pause of sms is over" in (await browser.send("/resume", {"scope": "sms"})).text
        assert "Nothing stands still" not in (await browser.get("/")).text  # no worker runs
        for form in ({"scope": MARKUP}, {"scope": "sms", "reason": "x" * 501}):
            answer = await browser.send("/pause", form)
            assert answer.status_code == 400
            assert MARKUP not in answer.text


async def test_without_a_worker_nobody_knows_which_account_is_paused(page: Open) -> None:
    async with page(COUPONTOOLS_CLIENT_ID="", COUPONTOOLS_CLIENT_SECRET="") as browser:
        await browser.sign_in()
        answer = await browser.send("/pause", {"scope": "sms"})
        assert "Nothing was done: no worker runs that would tell which account is meant" in answer.text
        assert "sms is paused" not in answer.text


async def test_it_says_that_redis_does_not_answer(page: Open) -> None:
    async with page(REDIS_URL="redis://127.0.0.1:1/0") as browser:
        await browser.sign_in()
        answer = await browser.get("/")
        assert answer.status_code == 200
        assert "Redis does not answer" in answer.text
        answer = await browser.send("/pause", {"scope": "sms"})
        assert answer.status_code == 503


def test_the_process_tells_what_moves_and_ends_while_somebody_watches(house: House) -> None:
    with WebProcess(house.environment()) as web:
        assert json.load(urllib.request.urlopen(f"{web.url}/health", timeout=60)) == {"status": "ok"}  # noqa: S310
        request = urllib.request.Request(f"{web.url}/live", headers={"Authorization": f"Bearer {TOKEN}"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=240) as stream:  # noqa: S310
            first = json.loads(stream.readline().removeprefix(b"data: "))
            assert set(first) == {"halts", "figures", "lanes", "workers"}
            house.enqueue("list_groups", channel="sms")
            seen: dict[str, str] = {}
            while ">1</td>" not in seen.get("lanes", ""):
                line = stream.readline()
                seen = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else seen
            # Parts of the page that have not changed are not sent again.
            assert "workers" not in seen
            web.process.send_signal(signal.SIGTERM)
            # The stream ends by itself: this client keeps its connection open.
            stream.read()
        assert web.end() == 0
        assert web.log_lines("web.stopped")


def test_connections_that_are_too_many_are_closed_before_the_process_has_no_file_left(house: House) -> None:
    """Without a free file the process cannot take a connection, and Python logs that thousands of times a second."""
    with ExitStack() as stack:
        web = stack.enter_context(WebProcess(house.environment()))
        address = urlsplit(web.url)
        opened = [
            stack.enter_context(socket.create_connection((address.hostname, address.port), timeout=60))
            for _ in range(MOST_OPEN + 50)
        ]
        ended = select.poll()
        for connection in opened:
            ended.register(connection, select.POLLIN)
        # Nobody asks for anything on these connections, so those that can be read are closed.
        wait_for(lambda: len(ended.poll(0)) >= 50)
        for connection in opened:
            connection.close()

        def is_well() -> bool:
            with suppress(OSError):
                return bool(urllib.request.urlopen(f"{web.url}/health", timeout=60).status == 200)  # noqa: S310
            return False

        wait_for(is_well)
        assert web.end() == 0


async def test_who_comes_after_all_have_left_sees_a_new_look_and_nothing_once_the_server_stops() -> None:
    """The page must not show, under the present time, what the last watcher saw hours ago."""
    lives, looks = Lives(), count()

    def watch() -> AsyncGenerator[dict[str, str]]:
        return lives.of("now", lambda: {"part": str(next(looks))}).watch()

    seen = []
    for _ in range(2):
        watching = watch()
        seen.append(await anext(watching))
        await watching.aclose()
    assert seen == [{"part": "0"}, {"part": "1"}]
    await lives.stop()
    with pytest.raises(StopAsyncIteration):
        await anext(watch())


async def test_who_watches_hears_of_the_looks_after_one_that_failed() -> None:
    """Otherwise the page says that the server does not answer, until somebody reloads it."""
    looks = count()

    def look() -> dict[str, str]:
        number = next(looks)
        if number == 1:
            raise OSError("too many open files")
        return {"part": str(number)}

    lives = Lives()
    watching = lives.of("now", look).watch()
    with capture_logs() as log:
        async with asyncio.timeout(60):
            seen = [await anext(watching) for _ in range(2)]
    assert seen == [{"part": "0"}, {"part": "2"}]
    assert [line["event"] for line in log] == ["web.failed"]
    await lives.stop()


async def test_it_asks_redis_for_no_more_with_more_jobs(house: House, page: Open) -> None:
    """What one look costs: a bounded number of commands, none of which goes through all keys or all jobs."""
    async with page() as browser:
        look(browser.desk)
        before = commands(house.redis)
        look(browser.desk)
        asked = {
            name: count - before.get(name, 0)
            for name, count in commands(house.redis).items()
            if name != "info"
        }
        house.enqueue_many("add_contact", [{"channel": "sms", "group_id": "g", "phone": "1"}] * 2000)
        before = commands(house.redis)
        look(browser.desk)
        after = {
            name: count - before.get(name, 0)
            for name, count in commands(house.redis).items()
            if name != "info"
        }
    assert not {"keys", "scan"} & {name for name, count in after.items() if count}
    assert sum(after.values()) <= sum(asked.values()) + 20


def commands(client: redis.Redis) -> dict[str, int]:
    """Return how often each command was carried out."""
    told: Any = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in told.items()}
