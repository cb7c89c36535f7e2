"""Dead letters are shown, sent again and purged, and batches shown and cancelled, as the command line does it."""

from __future__ import annotations

import json
import re
from typing import Any

from structlog.testing import capture_logs

from tests.harness import House, message
from tests.workers.web.conftest import Open
from workers.web import dead

PHONE = "+32470123456"
MARKUP = "<script>alert(1)</script>"
#: 1 March 2026, noon, in milliseconds.
NOON = 1_772_366_400_000


def bury(
    house: House,
    number: int = 0,
    *,
    kind: str = "rejected",
    queue: str = "contacts",
    died: int = 0,
    **more: Any,
) -> str:
    """Put a dead letter into Redis as settle.lua does; return its message id."""
    arguments = {"channel": "sms", "group_id": "gro_1", "phone": PHONE, "first_name": "Jan", **more}
    _, redis_id, body = message("add_contact", arguments, queue_name=queue)
    reason = {
        "job": "add_contact",
        "kind": kind,
        "code": 304,
        "message": f"Jan {MARKUP} {number}",
        "message_id": body["message_id"],
        "batch_id": arguments.get("batch_id"),
    }
    with house.redis.pipeline() as pipeline:
        pipeline.zadd(f"dramatiq:{queue}.XQ", {redis_id: died or NOON + number})
        pipeline.hset(f"dramatiq:{queue}.XQ.msgs", redis_id, json.dumps(body))
        pipeline.hset(f"coupontools:dead:{queue}", redis_id, json.dumps(reason))
        pipeline.execute()
    return str(body["message_id"])


def letters(text: str) -> list[int]:
    """Return the numbers in the reasons that a page shows, in its order."""
    return [int(part.split("<")[0]) for part in text.split("alert(1)&lt;/script&gt; ")[1:]]


async def test_letters_are_listed_newest_first_over_all_queues_and_pages(
    house: House, page: Open, monkeypatch: Any
) -> None:
    monkeypatch.setattr(dead, "ON_A_PAGE", 4)
    for number in range(10):
        # The letters are in two queues, and always two have the same time.
        bury(house, number, queue=("contacts", "bulk")[number % 2], died=NOON + number // 2)
    bury(house, 99, kind="expired", died=NOON - 3_600_000)
    async with page() as browser:
        await browser.sign_in()
        seen, path = [], "/dead"
        for _ in range(4):
            text = (await browser.get(path)).text
            seen += letters(text)
            assert PHONE not in text
            assert "Jan" not in text
            if ">Older<" not in text:
                break
            path = text.split('aria-label="More letters"><a href="')[1].split('"')[0].replace("&amp;", "&")
        assert path != "/dead", "they are on more than one page"
        assert sorted(seen) == [*range(10), 99]
        assert [number // 2 for number in seen[:10]] == [4, 4, 3, 3, 2, 2, 1, 1, 0, 0]
        assert letters((await browser.get("/dead?kind=expired")).text) == [99]
        assert letters((await browser.get("/dead?until=2026-03-01T11:30")).text) == [99]
        assert 99 not in letters((await browser.get("/dead?since=2026-03-01T11:30")).text)
        assert {number % 2 for number in letters((await browser.get("/dead?queue=bulk")).text)} == {1}
        for wrong in ("queue=none", "kind=none", "since=soon", f"until={MARKUP}"):
            refused = await browser.get(f"/dead?{wrong}")
            assert refused.status_code == 400
            assert MARKUP not in refused.text
        # If few letters are of the wanted kind, a request looks only at MOST_READ, and says that there may be more.
        monkeypatch.setattr(dead, "MOST_READ", 3)
        assert "Look further back" in (await browser.get("/dead?kind=expired")).text


async def test_a_letter_is_shown_sent_again_and_purged(house: House, page: Open) -> None:
    first, second = bury(house, 1), bury(house, 2, kind="unknown")
    async with page() as browser:
        await browser.sign_in()
        listed = (await browser.get("/dead?kind=rejected")).text
        path = listed.split('<th scope="row"><a href="')[1].split('"')[0].replace("&amp;", "&")
        shown = await browser.get(path)
        assert first in shown.text
        assert "+32•••••56" in shown.text
        assert PHONE not in shown.text
        assert "Jan" not in shown.text
        address = dict(part.split("=") for part in path.split("?")[1].split("&"))
        with capture_logs() as lines:
            openly = await browser.send("/dead/letter/openly", address, of=path)
            assert PHONE in openly.text
            sent = await browser.send("/dead/letter/retry", address, of=path)
        assert "The job is sent again, under this id." in sent.text
        assert [line["event"] for line in lines] == ["web.shown", "web.acted"]
        assert house.redis.llen("dramatiq:contacts") == 1
        assert (await browser.get(path)).status_code == 404
        assert (await browser.get("/dead/letter?queue=contacts&entry=zz")).status_code == 400
        listed = (await browser.get("/dead")).text
        path = listed.split('<th scope="row"><a href="')[1].split('"')[0].replace("&amp;", "&")
        assert second in (await browser.get(path)).text
        address = dict(part.split("=") for part in path.split("?")[1].split("&"))
        assert "is forgotten" in (await browser.send("/dead/letter/purge", address, of=path)).text
        assert not house.redis.exists(
            "dramatiq:contacts.XQ", "dramatiq:contacts.XQ.msgs", "coupontools:dead:contacts"
        )


async def test_all_that_are_chosen_are_sent_again_or_purged_at_most_so_many_at_once(
    house: House, page: Open, monkeypatch: Any
) -> None:
    monkeypatch.setattr(dead, "MOST_CHANGED", 7)
    monkeypatch.setattr(dead, "MOST_READ", 3)
    for number in range(20):
        bury(house, number, kind=("rejected", "expired")[number % 2])
    house.redis.hset("dramatiq:contacts.XQ.msgs", "unreadable", "{no json")
    house.redis.zadd("dramatiq:contacts.XQ", {"unreadable": NOON})
    async with page() as browser:
        await browser.sign_in()
        said = await browser.send("/dead/retry", {"kind": "expired"}, of="/dead")
        assert "7 sent again. There are more." in said.text
        # Letters that failed again meanwhile would come first: the next step takes only letters that died before the first step.
        for number in range(100, 107):
            bury(house, number, kind="expired")
        older = dict(re.findall(r'type="hidden" name="(kind|until)" value="([^"]+)"', said.text))
        assert set(older) == {"kind", "until"}
        said = await browser.send("/dead/retry", older, of="/dead")
        assert "3 sent again." in said.text
        assert "There are more" not in said.text
        assert house.redis.llen("dramatiq:contacts") == 10
        said = await browser.send("/dead/purge", {"kind": "rejected"}, of="/dead")
        assert "7 forgotten. There are more." in said.text
        said = await browser.send("/dead/purge", {"kind": "expired"}, of="/dead")
        assert "7 forgotten." in said.text
        said = await browser.send("/dead/retry", {}, of="/dead")
        assert "3 sent again. 1 are not readable jobs, and stay." in said.text


async def test_a_batch_is_shown_its_failed_rows_downloaded_and_cancelled(house: House, page: Open) -> None:
    # The id of a batch may end with a blank.
    batch = f"spring {MARKUP} "
    counts = {"channel": "sms", "group_id": "gro_999999", "batch_id": batch, "batch_size": 3}
    ids = [house.enqueue("add_contact", counts, phone=f"+3247012345{n}", first_name="=Jan") for n in range(2)]
    house.worker()
    house.wait_answered(ids)
    async with page() as browser:
        await browser.sign_in()
        listed = (await browser.get("/batches")).text
        assert "2 of 3" in listed
        assert MARKUP not in listed
        path = listed.split('<th scope="row"><a href="')[1].split('"')[0].replace("&amp;", "&")
        shown = (await browser.get(path)).text
        assert "Failed: rejected" in shown
        assert "conflicts and cancelled jobs leave no dead letter" in shown
        assert MARKUP not in shown
        told = await browser.get("/batch/failed", params={"id": batch})
        assert (
            told.headers["content-disposition"]
            == 'attachment; filename="springscriptalert1script.failed.csv"'
        )
        rows = told.text.splitlines()
        assert (rows[0].split(",")[:2], len(rows)) == (["phone", "first_name"], 3)
        # Without the apostrophe, a spreadsheet would run the cell.
        assert "'=Jan" in rows[1]
        said = await browser.send("/batch/cancel", {"id": batch}, of=path)
        assert "The batch is cancelled" in said.text
        assert house.redis.hkeys("coupontools:cancelled") == [f"b:{batch}".encode()]
        for path in ("/batch?id=none", "/batch/failed?id=", "/batch?id=" + "x" * 300):
            assert (await browser.get(path)).status_code == 404
        assert (await browser.get("/batches?first=99999999")).status_code == 200
