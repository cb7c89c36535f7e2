"""A job is found as the command `job` finds it; its personal data is shown only when somebody asks, and the log notes that."""

from __future__ import annotations

import json
from typing import Any

from structlog.testing import capture_logs

from tests.harness import House, message
from tests.workers.web.conftest import Open
from workers.web import find

PHONE = "+32470123456"
MARKUP = "<script>alert(1)</script>"


def answer(house: House, **data: Any) -> dict[str, Any]:
    """Put a made-up event on the stream as a worker does; return it."""
    event = {
        "specversion": "1.0",
        "id": "job-1",
        "source": "/made-up",
        "type": "coupontools.contact.added",
        "time": "2026-03-01T12:00:00.000Z",
        "batchid": "spring",
        "correlationid": "order-1",
        "data": {
            "channel": "sms",
            "phone": PHONE,
            "first_name": f"Jan {MARKUP}",
            "attempts": 2,
            "reconciled": True,
            **data,
        },
    }
    house.redis.xadd("coupontools:events", {"type": event["type"], "event": json.dumps(event)})
    return event


async def test_a_job_is_shown_masked_until_somebody_asks(house: House, page: Open) -> None:
    answer(house)
    async with page() as browser:
        await browser.sign_in()
        found = await browser.send("/find", {"way": "id", "wanted": " job-1 "}, of="/find")
        assert found.url.path == "/job"
        for shown in (
            "called the API 2 times",
            "the API was asked what had come of it",
            'href="/batch?id=spring"',
        ):
            assert shown in found.text
        assert "+32•••••56" in found.text
        assert PHONE not in found.text
        assert "Jan" not in found.text
        with capture_logs() as lines:
            openly = await browser.send("/job/openly", {"id": "job-1"}, of="/job?id=job-1")
        assert PHONE in openly.text
        assert "Jan &lt;script&gt;alert(1)" in openly.text
        assert MARKUP not in openly.text
        assert [(line["event"], line["message_id"]) for line in lines] == [("web.shown", "job-1")]
        # Only a form leads to this address: a link or a new visit must not show the data again.
        assert (await browser.get("/job/openly?id=job-1")).status_code == 405


async def test_what_is_nested_too_deeply_is_shown_as_far_as_it_can_be(house: House, page: Open) -> None:
    _, redis_id, body = message("add_contact", {}, message_id="job-2")
    body["options"]["original_id"] = "deep"
    text = json.dumps(body).replace('"deep"', "[" * 1000 + "]" * 1000)
    house.redis.hset("dramatiq:contacts.msgs", redis_id, text)
    async with page() as browser:
        await browser.sign_in()
        assert (await browser.get("/job?id=job-2")).status_code == 200
        openly = await browser.send("/job/openly", {"id": "job-2"}, of="/job?id=job-2")
        assert openly.status_code == 200
        assert "nested too deeply" in openly.text


async def test_jobs_are_found_by_correlation_id_and_key_and_what_a_job_says_of_itself_is_masked(
    house: House, page: Open
) -> None:
    waiting = house.enqueue(
        "add_contact",
        channel="sms",
        group_id="gro_1",
        phone=PHONE,
        correlation_id="order-1",
        idempotency_key=PHONE,
    )
    answer(house, error={"kind": "rejected", "code": 304, "message": f"Jan {MARKUP} has {PHONE} already"})
    async with page() as browser:
        await browser.sign_in()
        found = await browser.send("/find", {"way": "correlation", "wanted": "order-1"}, of="/find")
        assert waiting in found.text
        assert 'href="/job?id=job-1"' in found.text
        assert "rejected 304" in found.text
        assert PHONE not in found.text
        assert "Jan" not in found.text
        found = await browser.send(
            "/find", {"way": "key", "wanted": PHONE, "actor": "add_contact"}, of="/find"
        )
        assert waiting in found.text
        assert PHONE not in found.text
        found = await browser.send("/find", {"way": "key", "wanted": "nobody's"}, of="/find")
        assert "There is no such job" in found.text
        for form in (
            {"way": "id"},
            {"way": "hm", "wanted": "x"},
            {"way": "key", "wanted": "x", "actor": MARKUP},
        ):
            refused = await browser.send("/find", form, of="/find")
            assert refused.status_code == 400
            assert MARKUP not in refused.text
        missing = await browser.get("/job", params={"id": MARKUP})
        assert missing.status_code == 404
        assert MARKUP not in missing.text


async def test_a_search_that_takes_too_long_is_given_up_and_a_job_can_be_cancelled(
    house: House, page: Open, monkeypatch: Any
) -> None:
    waiting = house.enqueue("list_groups", channel="sms", correlation_id="order-2")
    async with page() as browser:
        await browser.sign_in()
        # The message has another id in Redis, so it is looked for among all waiting messages.
        said = await browser.send("/job/cancel", {"id": waiting}, of="/find")
        assert "The job is cancelled" in said.text
        assert house.redis.hkeys("coupontools:cancelled") == [f"m:{waiting}".encode()]
        monkeypatch.setattr(find, "MOST_SECONDS", -1.0)
        found = await browser.send("/find", {"way": "correlation", "wanted": "order-2"}, of="/find")
        assert "given up" in found.text
        assert "coupontools-worker job --correlation-id order-2" in found.text
        assert (await browser.get("/job", params={"id": waiting})).status_code == 504
