"""What a stranger's input may not do: fill logs and events, or change on its way."""

from __future__ import annotations

import json
import uuid

from tests.harness import House, message, wait_for


def test_names_of_unknown_arguments_are_told_to_the_sender_and_not_to_the_log(house: House) -> None:
    worker = house.worker()
    names = {f"Ada Lovelace {number} " + "x" * 200: 1 for number in range(5000)}
    event = house.answer(house.enqueue("list_groups", channel="sms", **names))
    details = event["data"]["error"]["details"]
    assert len(details) == 21
    assert details[0]["field"].startswith("Ada Lovelace")
    assert details[-1] == {"field": "kwargs", "message": "4,980 more unknown arguments"}
    assert len(json.dumps(event)) < 10_000
    wait_for(lambda: worker.log_lines("job.finished"), what="the line")
    assert "Lovelace" not in worker.log_text


def test_a_number_of_more_than_64_bits_does_not_become_another(house: House) -> None:
    body = house.sandbox.issue_webhook("coupon_claimed") | {"extra": 2**70 + 1}
    house.worker()
    event = house.answer(house.enqueue("verify_webhook", payload=body))
    assert event["data"]["error"]["kind"] == "invalid"
    assert "64 bits" in json.dumps(event["data"]["error"])
    huge = house.answer(house.enqueue("list_groups", channel="sms", deadline_seconds=10**30))
    assert huge["type"] in {"coupontools.groups.listed", "coupontools.groups.failed"}


def test_a_webhook_of_more_than_its_bounds_is_no_webhook(house: House) -> None:
    house.worker()
    wide = house.answer(house.enqueue("verify_webhook", payload={"id": "evt_a", "x": "y" * 262_144}))
    long = house.answer(house.enqueue("verify_webhook", payload={"id": "x" * 101}))
    for event in (wide, long):
        assert event["data"]["error"]["kind"] == "invalid"
        assert len(json.dumps(event)) < 5_000


def test_a_malformed_traceparent_goes_nowhere(house: House) -> None:
    house.worker()
    queue, redis_id, body = message("list_groups", {"channel": "sms"})
    body["options"]["traceparent"] = "Ada <ada@example.com>"
    house.push(queue, redis_id, json.dumps(body))
    assert "traceparent" not in house.answer(str(body["message_id"]))
    right = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
    queue, redis_id, body = message("list_groups", {"channel": "sms"})
    body["options"]["traceparent"] = right
    house.push(queue, redis_id, json.dumps(body))
    assert house.answer(str(body["message_id"]))["traceparent"] == right
