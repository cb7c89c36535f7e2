"""Jobs that are wrong, repeated or unreadable: what they are answered, and that nothing is sent for them."""

from __future__ import annotations

import json
from typing import Any

from tests.harness import House, message
from tests.harness.envelopes import NO_CALL, check_event

INVALID: list[tuple[str, dict[str, Any], list[str]]] = [
    ("add_contact", {}, ["channel", "group_id"]),
    ("add_contact", {"channel": "sms", "group_id": "gro_1"}, ["phone"]),
    ("add_contact", {"channel": "sms", "group_id": "gro_1", "phone": "0470"}, ["phone"]),
    ("add_contact", {"channel": "email", "group_id": "gro_1", "email": "nobody"}, ["email"]),
    (
        "add_contact",
        {"channel": "sms", "group_id": "gro_1", "phone": "+32470123456", "colour": "red"},
        ["colour"],
    ),
    ("create_group", {"channel": "fax", "name": " "}, ["channel", "name"]),
    ("verify_webhook", {}, ["payload"]),
    ("verify_webhook", {"payload": {"id": 7}}, ["payload"]),
    ("list_groups", {"channel": "sms", "deadline_seconds": 0}, ["deadline_seconds"]),
    ("list_contacts", {"channel": "sms", "group_id": "119251"}, ["group_id"]),
]
FAILED = {
    "add_contact": "contact.failed",
    "create_group": "group.failed",
    "verify_webhook": "webhook.failed",
    "list_groups": "groups.failed",
    "list_contacts": "contacts.failed",
}


def test_wrong_arguments_are_answered_by_name_and_kept_as_dead_letters(house: House) -> None:
    house.worker()
    entries = []
    for actor, arguments, fields in INVALID:
        queue, redis_id, body = message(actor, {**arguments, "correlation_id": "c"})
        house.push(queue, redis_id, json.dumps(body))
        entries.append((actor, queue, redis_id, body, fields))
    for actor, queue, redis_id, body, fields in entries:
        event = house.answer(body["message_id"])
        error = event["data"]["error"]
        check_event(
            event,
            FAILED[actor],
            event_id=body["message_id"],
            correlation_id="c",
            data={"job": actor, "error": error, **NO_CALL},
        )
        assert (error["kind"], error["code"]) == ("invalid", None)
        assert [detail["field"] for detail in error["details"]] == fields, body["kwargs"]
        assert all(detail["message"] for detail in error["details"])
        # Dramatiq's own dead letter, in Dramatiq's own place, with the arguments as they came.
        assert house.redis.zscore(f"dramatiq:{queue}.XQ", redis_id) is not None
        kept: Any = house.redis.hget(f"dramatiq:{queue}.XQ.msgs", redis_id)
        assert json.loads(kept) == body
        assert not house.redis.hexists(f"dramatiq:{queue}.msgs", redis_id)
    assert house.sandbox.requests() == []


def test_duplicates_are_replayed_and_another_job_under_a_used_key_is_a_conflict(house: House) -> None:
    house.worker()
    group_id = house.new_group()
    contact = {"channel": "sms", "group_id": group_id, "phone": "+32470123456"}
    first = house.answer(house.enqueue("add_contact", contact))
    # Another spelling of the number, another deadline, another correlation id: the same job.
    again = house.enqueue(
        "add_contact",
        {**contact, "phone": "+32 470 12 34 56", "deadline_seconds": 9, "correlation_id": "second"},
    )
    check_event(
        house.answer(again),
        "contact.added",
        event_id=again,
        subject=first["subject"],
        key=first["idempotencykey"],
        correlation_id="second",
        data={**first["data"], "attempts": 0, "replayed": True},
    )
    named = house.answer(
        house.enqueue("add_contact", {**contact, "phone": "+32470123457", "idempotency_key": "k"})
    )
    assert named["data"]["replayed"] is False
    other = house.enqueue("add_contact", {**contact, "phone": "+32470123458", "idempotency_key": "k"})
    event = house.answer(other)
    error = event["data"]["error"]
    check_event(
        event,
        "contact.failed",
        event_id=other,
        subject=group_id,
        key="k",
        data={"job": "add_contact", "error": error, **NO_CALL},
    )
    assert (error["kind"], error["code"], error["details"]) == ("conflict", None, [])
    # One key at another actor is another key.
    made = house.enqueue("create_group", channel="sms", name="Burger", idempotency_key="k")
    assert house.answer(made)["type"] == "coupontools.group.created"
    assert house.sandbox.stats()["endpoints"]["sms/addcontact"]["calls"] == 2


def test_an_unreadable_entry_is_set_aside_and_its_neighbours_run(house: House) -> None:
    group_id = house.new_group()
    before = house.enqueue("add_contact", channel="sms", group_id=group_id, phone="+32470123456")
    house.push("contacts", "odd", b"\xff not JSON")
    house.push("contacts", "stranger", json.dumps(message("fly_to_moon", {}, queue_name="contacts")[2]))
    after = house.enqueue("add_contact", channel="sms", group_id=group_id, phone="+32470123457")
    house.worker()
    assert {event["type"] for (event,) in house.wait_answered([before, after]).values()} == {
        "coupontools.contact.added"
    }
    rejected = {
        e["data"]["redis_message_id"]: e
        for e in house.events()
        if e["type"] == "coupontools.message.rejected"
    }
    assert {key: event["id"] for key, event in rejected.items()} == {
        "odd": "contacts/odd",
        "stranger": "contacts/stranger",
    }
    assert rejected["odd"]["data"]["queue"] == "contacts"
    assert rejected["odd"]["data"]["raw"] == "\ufffd not JSON"
    assert "fly_to_moon" in rejected["stranger"]["data"]["reason"]
    assert house.redis.hget("dramatiq:contacts.XQ.msgs", "odd") == b"\xff not JSON"
