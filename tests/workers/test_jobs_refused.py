"""Jobs that are wrong, repeated or unreadable: what they are answered, and that nothing is sent for them."""

from __future__ import annotations

import json
from typing import Any

from tests.harness import House, message, wait_for
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
            subject="gro_1" if body["kwargs"].get("group_id") == "gro_1" else None,
            correlation_id="c",
            keyless=actor in {"list_groups", "list_contacts"},
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


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_nested_too_deeply_is_answered_and_holds_up_nobody(house: House) -> None:
    """What reads JSON takes 1,024 levels, what writes it 254: in between, everything must still find its end."""
    house.worker("--concurrency", "4")
    wrong = [
        ("list_groups", {"channel": "sms", "x": nested(300)}),
        ("list_groups", {"channel": "sms", "idempotency_key": nested(700)}),
        (
            "add_contact",
            {"channel": "sms", "group_id": "gro_1", "phone": "+32470123456", "custom_fields": nested(700)},
        ),
        *[("verify_webhook", {"payload": {"id": "evt_1", "x": nested(300 + n)}}) for n in range(20)],
    ]
    ids = [house.enqueue(actor, arguments) for actor, arguments in wrong]
    queue, redis_id, body = message("list_groups", {"channel": "sms"})
    house.push(queue, redis_id, json.dumps(body | {"args": nested(300)}))
    ids.append(str(body["message_id"]))
    # More of them than a worker may hold at once, and yet:
    good = house.enqueue("verify_webhook", payload=house.sandbox.issue_webhook("coupon_claimed"))
    assert house.answer(good)["type"] == "coupontools.webhook.verified"
    answers = house.wait_answered(ids)
    assert {events[0]["data"]["error"]["kind"] for events in answers.values()} == {"invalid"}
    assert all(len(events) == 1 for events in answers.values())
    # An operator can look at them, and those that cannot be written again do not stand in the way of others.
    shown = house.run("dead", "show", str(body["message_id"]))
    assert shown.returncode == 0
    assert "[" * 300 in shown.stdout
    other = house.enqueue("list_groups", channel="fax")
    house.answer(other)
    retried = house.run("dead", "retry", "--all", "--json")
    assert retried.returncode == 1
    assert "nested too deeply" in retried.stderr
    assert other in {json.loads(line)["message_id"] for line in retried.stdout.splitlines()}


def test_a_replay_whose_pages_are_gone_is_answered_all_the_same(house: House) -> None:
    house.worker()
    house.answer(house.enqueue("list_groups", channel="sms", idempotency_key="mine"))
    (pages,) = house.redis.keys("coupontools:pages:*")
    house.redis.delete(pages)
    error = house.answer(house.enqueue("list_groups", channel="sms", idempotency_key="mine"))["data"]["error"]
    assert (error["kind"], "ask anew" in error["message"]) == ("internal", True)
    again = house.answer(house.enqueue("list_groups", channel="sms", idempotency_key="anew"))
    assert again["type"] == "coupontools.groups.listed"


def test_a_deadline_of_ages_is_no_deadline(house: House) -> None:
    house.worker()
    group_id = house.new_group()
    for number, deadline in enumerate((10**10, 10**16, 9_223_372_036_854_775, 9 * 10**18)):
        contact = {"channel": "sms", "group_id": group_id, "phone": f"+3247012345{number}"}
        event = house.answer(house.enqueue("add_contact", contact, deadline_seconds=deadline))
        assert event["type"] == "coupontools.contact.added", deadline
        event = house.answer(house.enqueue("list_groups", channel="sms", deadline_seconds=deadline))
        assert event["type"] == "coupontools.groups.listed", deadline


def test_a_job_that_cannot_even_be_answered_waits_and_is_told(house: House) -> None:
    """The stream of events is no stream: a mistake of an operator, who mends it."""
    house.redis.set("coupontools:events", "mistaken")
    # A short lease, since that must end before anybody may ask what became of a call.
    worker = house.worker(
        "--concurrency", "2", COUPONTOOLS_CONNECT_TIMEOUT_SECONDS=0.5, COUPONTOOLS_TIMEOUT_SECONDS=0.5
    )
    group_id = house.sandbox.add_groups("sms", name="Pizza")["group_id"]
    contacts = [{"channel": "sms", "group_id": group_id, "phone": f"+324701234{n:02}"} for n in range(10)]
    ids = house.enqueue_many("add_contact", contacts)
    # More of them than this worker may hold: none may stay in its hands.
    wait_for(
        lambda: house.redis.zcard("coupontools:delayed:contacts") == 10,
        what="ten that wait",
        show=house.log_tail,
    )
    assert len(worker.wait_lines("job.postponed", 10)) == 10
    house.redis.delete("coupontools:events")
    for entry in house.redis.zrange("coupontools:delayed:contacts", 0, -1):
        house.redis.zadd("coupontools:delayed:contacts", {entry: 0})
    answers = house.wait_answered(ids)
    assert {events[0]["type"] for events in answers.values()} == {"coupontools.contact.added"}
    # Their calls had been made, and their answers were kept: they were not made again.
    assert house.sandbox.stats()["endpoints"]["sms/addcontact"]["calls"] == 10
    assert house.counts()["surplus_contacts"] == 0


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
