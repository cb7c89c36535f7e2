"""Imports that did not begin or that go on fill the group that was chosen last, and never deny what was enqueued."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from pathlib import Path

import pytest

from tests.harness import House, wait_for
from tests.workers.web.conftest import Browser, Open
from tests.workers.web.test_imports import shows, uploaded
from workers.web.import_run import Run

#: More rows than are enqueued in one step.
MANY = 520
PEOPLE = "phone\n" + "".join(f"+3247{number:07}\n" for number in range(MANY))


async def stopped_in_the_middle(browser: Browser, monkeypatch: pytest.MonkeyPatch, **chosen: str) -> str:
    """Begin an import that is stopped after some of its rows; return its path."""
    path = await uploaded(browser, PEOPLE)
    with monkeypatch.context() as patched:
        read = Run.read

        def read_and_halt(run: Run, position: int) -> None:
            read(run, position)
            run.signals.append(1)

        patched.setattr(Run, "read", read_and_halt)
        await browser.send(path, {"do": "begin", **chosen}, of=path)
        await shows(browser, path, "Go on with it")
    return path


async def test_one_goes_on_after_a_restart_also_where_redis_comes_later(
    fragile_house: House, page: Open, tmp_path: Path
) -> None:
    """A host that restarts starts the page and Redis at once: the import must wait for Redis, not stay stopped."""
    house = fragile_house
    where = {"STATE_DIR": tmp_path, "REDIS_URL": house.server.url}
    group = house.new_group(contacts=[])
    async with page(**where) as browser:
        await browser.sign_in()
        path = await uploaded(browser, "phone\n+32470123456\n")
        await browser.send(path, {"do": "begin", "group_id": group}, of=path)
        await shows(browser, path, "0 of 1 answered")
        cookies = browser.client.cookies
        await asyncio.to_thread(browser.desk.workshop.stop)
    house.server.kill()
    async with page(**where) as browser:
        browser.client.cookies = cookies
        browser.desk.workshop.start()
        await shows(browser, path, "; waiting for it")
        house.server.start()
        house.worker()
        await shows(browser, path, "Done: every job is answered")
    assert house.counts()["contacts"] == 1


async def test_the_group_that_was_chosen_last_is_filled(house: House, page: Open, tmp_path: Path) -> None:
    """It must not fill the group of a first try that did not begin."""
    wrong, right = house.new_group(contacts=[]), house.new_group(contacts=[])
    async with page(STATE_DIR=tmp_path) as browser:
        await browser.sign_in()
        path = await uploaded(browser, "phone\n+32470123456\n")
        await browser.send(path, {"do": "begin", "group_id": wrong, "present": "skip"}, of=path)
        await shows(browser, path, "no worker runs that takes such jobs")
        house.worker()
        await browser.send(path, {"do": "begin", "group_id": right, "present": "skip"}, of=path)
        await shows(browser, path, "Done: every job is answered")
        # The same with two new groups, of which the first try has created the first.
        house.sandbox.faults("envelope", code=514, endpoint="sms/userlist", count=1)
        path = await uploaded(browser, "phone\n+32470123456\n")
        for name in ("Wrong", "Right"):
            await browser.send(path, {"do": "begin", "new_group": name, "present": "skip"}, of=path)
            await shows(
                browser, path, "could not be listed" if name == "Wrong" else "Done: every job is answered"
            )
    groups = {
        event["data"]["name"]: event["data"]["group_id"]
        for event in house.events()
        if event["type"] == "coupontools.group.created"
    }
    added = [event["data"]["group_id"] for event in house.events() if event["type"].endswith("contact.added")]
    assert added == [right, groups["Right"]]


async def test_one_that_has_just_stopped_begins_anew_and_is_nobody_else_s(
    house: House, page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread ends a moment after it is shown as stopped: a new beginning in this moment must not be dropped without a word."""
    group = house.new_group(contacts=[])
    end_reading, end, goes_on, elsewhere = Run._end_reading, Run.end, threading.Event(), []
    async with page(STATE_DIR=tmp_path) as browser:

        def end_reading_late(run: Run) -> None:
            if run.stopped:
                goes_on.wait(240)
            end_reading(run)

        def end_and_look(run: Run, problem: str = "") -> None:
            end(run, problem)
            elsewhere.append(browser.desk.workshop.is_elsewhere(run.record))

        monkeypatch.setattr(Run, "_end_reading", end_reading_late)
        monkeypatch.setattr(Run, "end", end_and_look)
        await browser.sign_in()
        path = await uploaded(browser, "phone\n+32470123456\n")
        chosen = {"do": "begin", "group_id": group, "present": "skip"}
        await browser.send(path, chosen, of=path)
        await shows(browser, path, "no worker runs that takes such jobs")
        house.worker()
        await browser.send(path, chosen, of=path)
        goes_on.set()
        await shows(browser, path, "Done: every job is answered")
        await asyncio.to_thread(wait_for, lambda: len(elsewhere) == 2, what="the end of both")
    assert elsewhere == [False, False]


async def test_one_that_is_stopped_while_its_group_is_created_says_so(
    house: House, page: Open, tmp_path: Path
) -> None:
    """It must not say that nothing was enqueued: the group may be created a moment later."""
    house.worker()
    assert house.run("pause", "--reason", "stock-taking").returncode == 0
    async with page(STATE_DIR=tmp_path) as browser:
        await browser.sign_in()
        path = await uploaded(browser, "phone\n+32470123456\n")
        await browser.send(path, {"do": "begin", "new_group": "Spring"}, of=path)
        await asyncio.to_thread(
            wait_for, lambda: house.redis.exists("dramatiq:groups.msgs"), what="the job that creates it"
        )
        await browser.send(f"{path}/halt", {}, of=path)
        text = await shows(browser, path, "whether the group Spring was created")
        assert "nothing was enqueued" not in text
        assert house.run("resume").returncode == 0
        await asyncio.to_thread(wait_for, lambda: house.counts()["groups"], what="the group")
        await browser.send(path, {"do": "begin", "new_group": "Spring"}, of=path)
        await shows(browser, path, "Done: every job is answered")
    assert (house.counts()["groups"], house.counts()["contacts"]) == (1, 1)


async def test_what_was_enqueued_is_not_denied(
    house: House, page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was stopped in the middle of its file and cannot go on must not become a draft again: "nothing was enqueued"."""
    async with page(STATE_DIR=tmp_path) as browser:
        await browser.sign_in()
        path = await stopped_in_the_middle(browser, monkeypatch, group_id="gro_1")
        enqueued = house.redis.llen("dramatiq:bulk")
        assert 0 < enqueued < MANY
        await browser.send("/batch/cancel", {"id": path.rpartition("/")[2]}, of="/batches")
        await browser.send(path, {"do": "begin"}, of=path)
        await shows(browser, path, "was cancelled")
        text = await shows(browser, path, "Go on with it")
        assert "nothing was enqueued" not in text


def forget_that_it_began(folder: Path) -> None:
    [about] = folder.rglob("about.json")
    about.write_text(json.dumps({**json.loads(about.read_bytes()), "began": False, "state": "running"}))


async def test_what_was_enqueued_is_not_denied_after_a_kill(
    house: House, page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If its process is killed between the first rows and the note that it began, it must not say "no contact was enqueued"."""
    async with page(STATE_DIR=tmp_path) as browser:
        await browser.sign_in()
        path = await stopped_in_the_middle(browser, monkeypatch, group_id="gro_1")
        await browser.send("/batch/cancel", {"id": path.rpartition("/")[2]}, of="/batches")
        cookies = browser.client.cookies
    forget_that_it_began(tmp_path)
    async with page(STATE_DIR=tmp_path) as browser:
        browser.client.cookies = cookies
        browser.desk.workshop.start()
        await shows(browser, path, "was cancelled")
        text = await shows(browser, path, "Go on with it")
    assert "no contact was enqueued" not in text


@pytest.mark.story
async def test_those_whom_it_has_added_itself_are_not_told_as_there_before(
    house: House, page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = house.new_group(contacts=[{"phone": "+32470000003"}])
    house.worker()
    async with page(STATE_DIR=tmp_path) as browser:
        await browser.sign_in()
        path = await stopped_in_the_middle(browser, monkeypatch, group_id=group, present="skip")
        queue = "dramatiq:bulk.msgs"
        await asyncio.to_thread(wait_for, lambda: not house.redis.hlen(queue), what="the answers")
        await browser.send(path, {"do": "begin"}, of=path)
        text = await shows(browser, path, "Done: every job is answered")
    told = dict(re.findall(r"<dt>([a-z ]+)</dt><dd>([0-9,]+)</dd>", text))
    assert told == {
        "rows read": f"{MANY}",
        "enqueued": f"{MANY - 1}",
        "refused": "0",
        "in the group already": "1",
        "added": f"{MANY - 1}",
        "failed": "0",
    }
    assert house.counts()["contacts"] == MANY


async def test_an_import_goes_on_in_the_process_that_was_there_before_its_own_ended(
    house: House, page: Open, tmp_path: Path
) -> None:
    """Else it stands still: the other process has given up at its start, says that somebody carries it out, and lets nobody begin it."""
    group = house.new_group(contacts=[])
    async with page(STATE_DIR=tmp_path) as first, page(STATE_DIR=tmp_path) as second:
        await first.sign_in()
        path = await uploaded(first, PEOPLE)
        await first.send(path, {"do": "begin", "group_id": group}, of=path)
        await shows(first, path, f"0 of {MANY} answered")
        second.client.cookies = first.client.cookies
        second.desk.workshop.start()
        text = await shows(
            second, path, "another process of `coupontools-worker web` carries this import out"
        )
        assert f"0 of {MANY} answered" in text
        # A process that does not carry out the import cannot stop it, and does not say that it has.
        for what in ("halt", "discard"):
            answer = await second.send(f"{path}/{what}", {}, of=path)
            assert (answer.status_code, "only that process can stop it" in answer.text) == (409, True)
        await asyncio.to_thread(first.desk.workshop.stop)
        house.worker()
        text = await shows(second, path, "Done: every job is answered")
        assert f"<dt>added</dt><dd>{MANY}</dd>" in text
    assert house.counts()["contacts"] == MANY
