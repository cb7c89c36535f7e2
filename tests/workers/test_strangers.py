"""What a stranger's input may not do: fill logs and events, or change on its way."""

from __future__ import annotations

import json
import uuid

from tests.harness import House, message, wait_for


def test_names_of_unknown_arguments_are_told_to_the_sender_and_not_to_the_log(house: House) -> None:
    worker = house.worker()
    names = {f"Ada Lovelace {number} " + "x" * 200: 1 for number in range(21)}
    # To look each up among the others took minutes, in which the whole process stood still.
    names |= {f"n{number}": 1 for number in range(60_000)}
    event = house.answer(house.enqueue("list_groups", channel="sms", **names))
    details = event["data"]["error"]["details"]
    assert len(details) == 21
    assert details[0]["field"].startswith("Ada Lovelace")
    assert details[-1] == {"field": "kwargs", "message": "60,001 more unknown arguments"}
    assert len(json.dumps(event)) < 10_000
    wide = {**{f"n{number}": number for number in range(50_000)}, "Ada Lovelace" * 1000: 1}
    person = {"channel": "sms", "group_id": "gro_1", "phone": "+32470123456"}
    event = house.answer(house.enqueue("add_contact", person, custom_fields=dict(reversed(wide.items()))))
    assert event["data"]["error"]["details"][-1] == {"field": "kwargs", "message": "49,981 more problems"}
    assert len(json.dumps(event)) < 10_000
    wait_for(lambda: len(worker.log_lines("job.finished")) == 2, what="the lines")
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
    body = house.sandbox.issue_webhook("coupon_claimed")
    filled = {name: ["y"] * 3_000 if name == "campaign" else "y" * 9_000 for name in body if name != "id"}
    forged = house.answer(house.enqueue("verify_webhook", payload=body | filled))
    assert forged["data"]["reason"] == "mismatch"
    assert len(forged["data"]["mismatches"]) > 1
    assert len(json.dumps(forged)) < 10_000
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


def test_an_entry_that_is_too_long_is_set_aside_unread(house: House) -> None:
    house.worker()
    house.push("contacts", "huge", "x" * (1 << 20) + "y")
    house.push("contacts", "i" * 300, "{")
    group_id = house.new_group()
    house.answer(house.enqueue("add_contact", channel="sms", group_id=group_id, phone="+32470000001"))
    rejected = wait_for(
        lambda: (
            found
            if len(found := [e for e in house.events() if e["type"] == "coupontools.message.rejected"]) == 2
            else None
        ),
        what="two rejections",
        show=house.log_tail,
    )
    huge = next(event for event in rejected if event["id"] == "contacts/huge")
    assert huge["data"]["raw"] == ""
    assert "1,048,577 bytes" in huge["data"]["reason"]
    other = next(event for event in rejected if event is not huge)
    assert other["id"].startswith("contacts/" + "i" * 60)
    assert len(other["id"]) == len("contacts/") + 60 + 32
    assert house.redis.hget("dramatiq:contacts.XQ.msgs", "huge") == b'{"bytes":1048577}'
    assert house.run("dead", "retry", "huge").returncode == 1


def test_a_large_job_that_fails_leaves_a_small_letter(house: House) -> None:
    house.worker()
    message_id = house.enqueue("list_groups", channel="sms", strange="z" * 400_000)
    house.answer(message_id)
    [letter] = house.redis.hvals("dramatiq:reads.XQ.msgs")
    assert len(letter) < 100
    assert message_id in house.run("dead", "list").stdout


def test_a_time_in_seconds_is_told_as_such(house: House) -> None:
    house.worker()
    queue, redis_id, body = message("list_groups", {"channel": "sms"})
    body["message_timestamp"] //= 1000
    house.push(queue, redis_id, json.dumps(body))
    error = house.answer(str(body["message_id"]))["data"]["error"]
    assert (error["kind"], error["details"][0]["field"]) == ("invalid", "message_timestamp")
    assert "milliseconds" in error["message"]


def test_a_hold_s_message_names_nobody(house: House) -> None:
    """Every process prints it, and only the one whose call it was knows what to mask."""
    text = "Ms Quxworthy (0470 12 34 56, of Markedville) has no SMS in her plan"
    house.sandbox.faults("envelope", code=103, message=text, form="number", count=100)
    group_id = house.new_group()
    worker = house.worker()
    house.enqueue(
        "add_contact",
        channel="sms",
        group_id=group_id,
        phone="+32470123456",
        last_name="Quxworthy",
        custom_fields={"1": "Markedville"},
    )
    (held,) = wait_for(house.events, what="the hold", show=house.log_tail)
    assert held["type"] == "coupontools.account.held"
    (stored,) = house.redis.hvals(next(house.redis.scan_iter("coupontools:holds:*")))
    worker.wait_lines("account.held")
    for told in (json.dumps(held), stored.decode(), worker.log_text):
        assert "has no SMS in her plan" in told
        for mark in ("Quxworthy", "12 34 56", "Markedville"):
            assert mark not in told
