"""A file is uploaded, read as somebody chooses, checked, imported and watched, and nobody else sees what is in it."""

from __future__ import annotations

import asyncio
import csv
import errno
import io
import itertools
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
import structlog
from starlette.routing import Route

from tests.harness import House, wait_for
from tests.workers.web.conftest import BASE, IMPORT_TOKEN, TOKEN, Browser, Open, form_token
from workers.web import import_shelf, imports, workshop
from workers.web.import_run import Run
from workers.web.imports import PAGE

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
#: Unknown columns, a wrong number, a contact that comes twice, and markup in a name.
PEOPLE = f"Mobile;first_name;Shoe size\n0470123456;Ada {MARKUP};41\n12;Wrong <b>One</b>;42\n+32470123456;Ada;43\n0470654321;Bo;44\n"
CHOSEN = {"column-0": "phone", "column-1": "first_name", "column-2": "(ignored)", "country": "BE"}


async def upload(
    browser: Browser, content: str | bytes, name: str = "people.csv", channel: str = "sms", **options: Any
) -> httpx.Response:
    """Upload a file as the form does; return the answer, which leads to the import."""
    client = options.get("client") or browser.client
    token = form_token((await client.get("/imports")).text)
    return await client.post(
        "/imports",
        data={"channel": channel, "form_token": token},
        files={"file": (name, content.encode() if isinstance(content, str) else content)},
        headers={"Origin": BASE},
    )


async def uploaded(browser: Browser, content: str, **options: Any) -> str:
    """Upload a file; return the path of its import."""
    answer = await upload(browser, content, **options)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


async def shows(browser: Browser, path: str, sentence: str) -> str:
    """Wait until a page shows a sentence; return the page's text."""
    text = ""

    async def look() -> bool:
        nonlocal text
        text = (await browser.get(path)).text
        return sentence in text

    await until(look, lambda: f"{sentence!r} in {text}")
    return text


async def until(condition: Callable[[], Any], show: Callable[[], str]) -> None:
    """Wait until a coroutine returns something true, with the deadline of `wait_for`."""
    deadline = time.monotonic() + 240
    while not await condition():
        assert time.monotonic() < deadline, show()
        await asyncio.sleep(0.05)


def rows(text: str) -> list[list[str]]:
    """Return the rows of a CSV text."""
    return list(csv.reader(io.StringIO(text), delimiter=";"))


def modes(folder: Path) -> tuple[set[int], set[int]]:
    """Return the modes of the files of all imports, and of their folders."""
    found = [path for path in folder.rglob("*") if "imports" in path.parts]
    files, folders = (
        {path.stat().st_mode & 0o777 for path in found if path.is_dir() is kind} for kind in (False, True)
    )
    return files, folders


async def test_a_file_is_read_as_somebody_says_checked_imported_and_what_was_wrong_can_be_had(
    house: House, page: Open, tmp_path: Path
) -> None:
    group = house.new_group(contacts=[])
    async with page(STATE_DIR=tmp_path) as browser:
        with structlog.testing.capture_logs() as log:
            await browser.sign_in(IMPORT_TOKEN)
            # Somebody who may only import is led to the page of imports.
            assert (await browser.get("/")).headers["location"] == "/imports"
            path = await uploaded(browser, PEOPLE, name=f"{MARKUP}.csv")
            text = (await browser.get(path)).text
            assert "choose …" in text
            # The page says what is missing, and keeps what was filled in.
            answer = await browser.send(
                path, {"do": "begin", "country": "BE", "group_id": "no id", "new_group": MARKUP}, of=path
            )
            assert answer.status_code == 400
            assert "nobody knows what &#39;Mobile&#39;, &#39;Shoe size&#39; holds" in answer.text
            assert "name only one of the three" in answer.text
            assert 'value="BE"' in answer.text
            assert 'value="no id"' in answer.text
            answer = await browser.send(
                path, CHOSEN | {"do": "begin", "country": "XX", "group_id": "no id"}, of=path
            )
            assert "must be the two letters of a country" in answer.text
            assert "&#39;no id&#39; must" in answer.text
            # The page shows how the first rows are read.
            answer = await browser.send(path, CHOSEN | {"do": "check", "group_id": group}, of=path)
            assert answer.status_code == 200
            assert "+32470123456" in answer.text
            assert "it is too short" in answer.text
            assert "the same contact as in line 2" in answer.text
            text = await shows(browser, path, "1 row is wrong")
            assert house.redis.llen("dramatiq:bulk") == 0
            refused = (await browser.get(f"{path}/refused.csv")).text
            assert [row[0] for row in rows(refused)] == ["Mobile", "12"]
            assert modes(tmp_path) == ({0o600}, {0o700})

            house.sandbox.faults("envelope", code=301, endpoint="sms/addcontact", count=1)
            house.worker()
            answer = await browser.send(path, CHOSEN | {"do": "begin", "group_id": group}, of=path)
            assert answer.status_code == 200
            text += await shows(browser, path, "Done: every job is answered")
            failed = rows((await browser.get(f"{path}/failed.csv")).text)
            assert len(failed) == 2
            assert failed[1][-1].startswith("rejected: ")
            assert [row[0] for row in rows((await browser.get(f"{path}/refused.csv")).text)] == [
                "Mobile",
                "12",
            ]
            # If it is begun again, the page says that it has ended.
            assert "has ended" in (await browser.send(path, {"do": "begin"}, of=path)).text
            text += (await browser.get("/imports")).text
        for markup in ("<img", "<script>alert", "<b>"):
            assert markup not in text
        assert "&lt;script&gt;" in text
        told = str(log)
        assert "web.shown" in told
        assert "'download'" in told
        for personal in ("470123456", "470654321", "Ada", "Wrong"):
            assert personal not in told


async def test_nobody_else_sees_what_is_in_a_file(house: House, page: Open, tmp_path: Path) -> None:
    async with page(STATE_DIR=tmp_path) as browser, browser.another() as other, browser.another() as boss:
        await browser.sign_in(IMPORT_TOKEN)
        for client, token in ((other, IMPORT_TOKEN), (boss, TOKEN)):
            await client.post("/sign-in", data={"token": token}, headers={"Origin": BASE})
        path = await uploaded(browser, PEOPLE, name="secret-name.csv")
        operators = await uploaded(browser, PEOPLE, name="bosses.csv", client=boss)
        for client in (other, boss):
            # Nobody else sees a draft.
            assert (await client.get(path)).status_code == 404
        await browser.send(path, CHOSEN | {"do": "begin", "group_id": "gro_1"}, of=path)
        await shows(browser, path, "0 of 2 answered")
        token = form_token((await boss.get("/imports")).text)
        await boss.post(
            operators,
            data=CHOSEN | {"do": "begin", "group_id": "gro_2", "form_token": token},
            headers={"Origin": BASE},
        )
        # The second token opens only what was begun with it.
        for suffix in ("", "/live", "/refused.csv"):
            assert (await other.get(operators + suffix)).status_code == 404
        for client in (other, boss):
            listed, shown = (await client.get("/imports")).text, (await client.get(path)).text
            assert path in listed
            assert "0 of 2 answered" in shown
            for text in (listed, shown):
                assert "secret-name" not in text
                assert "line 3" not in text
                assert "470123456" not in text
            assert (await client.get(f"{path}/refused.csv")).status_code == 403
            own = form_token(listed)
            answer = await client.post(
                path, data={"do": "begin", "form_token": own}, headers={"Origin": BASE}
            )
            assert answer.status_code == 403
        own = form_token((await other.get("/imports")).text)
        for action in ("halt", "discard"):
            answer = await other.post(f"{path}/{action}", data={"form_token": own}, headers={"Origin": BASE})
            assert answer.status_code == 403
        # An operator may stop the import, and remove the file.
        for action in ("halt", "discard"):
            answer = await boss.post(f"{path}/{action}", data={"form_token": token}, headers={"Origin": BASE})
            assert answer.status_code == 303
        assert (await browser.get(path)).status_code == 404
        # Signed out, this browser owns nothing any more.
        path = await uploaded(browser, PEOPLE)
        await browser.send("/sign-out", {}, of="/imports")
        await browser.sign_in(IMPORT_TOKEN)
        assert (await browser.get(path)).status_code == 404


def shelf_of_one(folder: Path) -> tuple[import_shelf.Shelf, import_shelf.Record]:
    """Return a shelf with one file."""
    shelf = import_shelf.Shelf(folder / "imports")
    record = import_shelf.Record("one", "somebody", "importer", "people.csv", "sms", time.time())
    shelf.put(io.BytesIO(b"phone\n"), record)
    return shelf, record


def test_what_is_taken_away_while_its_record_is_written_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that is told to stop may write the record just then: the folder could not be removed, and the import would be back."""
    shelf, record = shelf_of_one(tmp_path)
    remove, removals = os.rmdir, []

    def rmdir(*given: Any, **more: Any) -> None:
        removals.append(given)
        if len(removals) == 1:
            shelf.save(record)
        remove(*given, **more)

    monkeypatch.setattr(os, "rmdir", rmdir)
    shelf.drop("one")
    assert shelf.get("one") is None
    assert list((tmp_path / "imports").iterdir()) == []


def test_what_cannot_be_read_just_now_is_kept_for_its_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files, or a disk that fails for a moment, must not cost an import its file."""
    shelf, record = shelf_of_one(tmp_path)
    folder = shelf.file(record).parent
    os.utime(folder, (time.time() - 600,) * 2)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", Mock(side_effect=OSError(errno.EMFILE, "Too many open files")))
        assert shelf.get("one") is None
        assert shelf.old() == []
        os.utime(folder, (time.time() - import_shelf.KEPT_SECONDS - 1,) * 2)
        assert shelf.old() == ["one"]
    assert shelf.get("one") == record


async def test_a_folder_that_cannot_be_read_for_a_moment_ends_no_sweeping(
    house: House, page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workshop, "SWEEP_SECONDS", 0.01)
    async with page(STATE_DIR=tmp_path) as browser:
        await browser.sign_in()
        path = await uploaded(browser, "phone\n+32470123456\n")
        shelf = browser.desk.workshop.shelf
        record = shelf.get(path.rpartition("/")[2])
        assert record is not None
        unreadable = OSError(errno.EMFILE, "Too many open files")
        monkeypatch.setattr(
            shelf, "old", Mock(side_effect=itertools.chain([unreadable], itertools.repeat([record.id])))
        )
        browser.desk.workshop.start()
        folder = shelf.file(record).parent
        await asyncio.to_thread(wait_for, lambda: not folder.exists(), what="the next sweep")


async def test_an_import_outlives_a_restart_and_adds_nobody_twice(
    house: House, page: Open, tmp_path: Path
) -> None:
    group = house.new_group(contacts=[])
    people = "phone\n" + "".join(f"+3247{number:07}\n" for number in range(600)) + "12\n"
    async with page(STATE_DIR=tmp_path) as browser:
        await browser.sign_in()
        path = await uploaded(browser, people)
        await browser.send(path, {"do": "begin", "group_id": group}, of=path)
        await shows(browser, path, "0 of 600 answered")
        # The refused rows can be had as soon as the file is read, whenever the jobs are answered.
        assert len((await browser.get(f"{path}/refused.csv")).text.splitlines()) == 2
        cookies = browser.client.cookies
        await asyncio.to_thread(browser.desk.workshop.stop)
    assert house.redis.llen("dramatiq:bulk") == 600
    house.sandbox.faults("envelope", code=301, endpoint="sms/addcontact", count=1)
    house.worker()
    async with page(STATE_DIR=tmp_path) as browser:
        browser.client.cookies = cookies
        assert "under way" in (await browser.get("/imports")).text
        browser.desk.workshop.start()
        text = await shows(browser, path, "Done: every job is answered")
        assert re.search(r"<dt>added</dt><dd>599</dd>", text)
        assert re.search(r"<dt>failed</dt><dd>1</dd>", text)
        assert len((await browser.get(f"{path}/failed.csv")).text.splitlines()) == 2
        assert len((await browser.get(f"{path}/refused.csv")).text.splitlines()) == 2
    assert house.counts()["contacts"] == 599
    assert house.tally()["contact.added"] == 599


async def test_a_file_of_wrong_rows_is_offered_when_it_is_whole(
    page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(Run, "read", lambda *_: goes_on.wait(240))
    async with page(STATE_DIR=tmp_path) as browser:
        await browser.sign_in()
        path = await uploaded(browser, "phone\n" + "12\n" * 5000)
        try:
            await browser.send(path, {"do": "check"}, of=path)
            await until(
                lambda: asyncio.to_thread(lambda: list(tmp_path.rglob("refused.csv"))), lambda: "no file"
            )
            assert (await browser.get(f"{path}/refused.csv")).status_code == 404
            assert "/refused.csv" not in (await browser.get(path)).text
        finally:
            goes_on.set()
        assert "/refused.csv" in await shows(browser, path, "rows are wrong")
        assert len((await browser.get(f"{path}/refused.csv")).text.splitlines()) == 5001


async def test_an_import_that_is_begun_several_times_at_once_begins_once(page: Open, tmp_path: Path) -> None:
    """The later requests must not write down again that it has not begun: it would then not go on after a restart."""
    async with page(STATE_DIR=tmp_path) as browser:
        await browser.sign_in()
        path = await uploaded(browser, "phone\n+32470000001\n")
        form = {"do": "begin", "group_id": "gro_1", "form_token": form_token((await browser.get(path)).text)}
        with structlog.testing.capture_logs() as log:
            await asyncio.gather(*(browser.client.post(path, data=form) for _ in range(8)))
        assert [line["event"] for line in log if line.get("action") == "import"] == ["web.acted"]
        assert "under way" in (await browser.get("/imports")).text


async def test_one_that_was_stopped_goes_on_and_its_day_ends(
    house: House, page: Open, tmp_path: Path
) -> None:
    async with page(STATE_DIR=tmp_path) as browser:
        await browser.sign_in()
        path = await uploaded(browser, "phone\n+32470123456\n")
        await browser.send(path, {"do": "begin", "group_id": "gro_1"}, of=path)
        await shows(browser, path, "0 of 1 answered")
        await browser.send(f"{path}/halt", {}, of=path)
        await shows(browser, path, "Go on with it")
        await browser.send(path, {"do": "begin"}, of=path)
        await shows(browser, path, "0 of 1 answered")
        assert house.redis.llen("dramatiq:bulk") == 1
        record = browser.desk.workshop.shelf.get(path.rpartition("/")[2])
        assert record is not None
        run = browser.desk.workshop.run_of(record)
        assert run is not None
        # From here on, the import does not write its record any more.
        await asyncio.to_thread(wait_for, lambda: run.followed, what="the end of the reading")
        record.at -= import_shelf.KEPT_SECONDS + 1
        browser.desk.workshop.shelf.save(record)
        folder = browser.desk.workshop.shelf.file(record).parent
        os.utime(folder, (record.at, record.at))
        assert (await browser.get(path)).status_code == 404
        browser.desk.workshop.start()
        await asyncio.to_thread(wait_for, lambda: not folder.exists(), what="the end of its day")


async def test_groups_are_listed_and_created_by_jobs(house: House, page: Open, tmp_path: Path) -> None:
    house.new_group(name=f"Pizza {MARKUP}")
    async with page(STATE_DIR=tmp_path) as browser:
        await browser.sign_in(IMPORT_TOKEN)
        path = await uploaded(browser, "email\nada@example.com\n", channel="email")
        await browser.send(path, {"do": "groups"}, of=path)
        await shows(browser, path, "no worker runs that takes such jobs")
        house.worker()
        await browser.send(path, {"do": "groups", "new_group": "New <i>ones</i>"}, of=path)
        await shows(browser, path, "There are no groups yet")
        # The page keeps what was typed.
        assert 'value="New &lt;i&gt;ones&lt;/i&gt;"' in (await browser.get(path)).text
        await browser.send(path, {"do": "begin", "new_group": "New <i>ones</i>"}, of=path)
        await shows(browser, path, "Done: every job is answered")
        created = [event for event in house.events() if event["type"] == "coupontools.group.created"]
        assert [event["data"]["name"] for event in created] == ["New <i>ones</i>"]
        path = await uploaded(browser, "phone\n+32470123456\n")
        await browser.send(path, {"do": "groups"}, of=path)
        text = await shows(browser, path, '<select id="listed"')
        assert "Pizza &lt;img src=x" in text
        assert MARKUP not in text


@pytest.mark.parametrize(
    ("content", "channel", "status", "sentence"),
    [
        (b"", "sms", 400, "choose a CSV file that is not empty"),
        (b"PK\x03\x04 workbook", "sms", 400, "this is a workbook"),
        ("phone\n".encode("utf-16"), "sms", 400, "UTF-16"),
        (b"\n", "sms", 400, "there is no header"),
        (b"phone\n1", "fax", 400, "choose whether they are numbers"),
        (b"phone\n" + b"1" * imports.MOST_BYTES, "sms", 413, "longer than 20 MiB"),
        (",".join(map(str, range(101))).encode(), "sms", 400, "more than 100 columns"),
    ],
    ids=["empty", "workbook", "utf-16", "no header", "no channel", "too long", "too wide"],
)
async def test_what_cannot_be_imported_is_told(
    page: Open, tmp_path: Path, *, content: bytes, channel: str, status: int, sentence: str
) -> None:
    async with page(STATE_DIR=tmp_path, REDIS_URL="redis://127.0.0.1:1/0") as browser:
        await browser.sign_in()
        answer = await upload(browser, content, channel=channel)
        assert answer.status_code == status
        assert sentence in answer.text
        assert modes(tmp_path)[0] == set()
        # Rows can be looked at without Redis, too.
        path = await uploaded(browser, "phone,first_name\n+32470123456,Ada\n")
        assert "+32470123456" in (await browser.get(path)).text
        await browser.send(path, {"do": "begin", "group_id": "gro_1"}, of=path)
        await shows(
            browser, path, "The import did not begin, and no contact was enqueued: Redis does not answer"
        )


async def test_the_second_token_opens_nothing_else(page: Open, tmp_path: Path) -> None:
    bearer = {"Authorization": f"Bearer {IMPORT_TOKEN}", "Accept": "*/*"}
    open_to_all = {"/health", "/sign-in", "/sign-out", "/static/{path:path}", *PAGE.actions}
    async with page(STATE_DIR=tmp_path) as browser, browser.another() as client:
        others = [
            route.path
            for route in browser.routes.routes
            if isinstance(route, Route) and route.path not in open_to_all
        ]
        assert {"/", "/live", "/pause"} <= set(others)
        for path in others:
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
                assert (await client.request(method, path, headers=bearer)).status_code == 403, (method, path)
        # A program needs no cookie to find its own import again.
        answer = await client.post(
            "/imports",
            data={"channel": "sms"},
            files={"file": ("a.csv", b"phone\n+32470123456\n")},
            headers=bearer,
        )
        assert answer.status_code == 303
        assert "set-cookie" not in answer.headers
        path = answer.headers["location"]
        assert "+32470123456" in (await client.get(path, headers=bearer)).text
        for name in ("%2e%2e", "about.json", "file.csv", "lock"):
            assert (await client.get(f"{path}/{name}", headers=bearer)).status_code == 404
