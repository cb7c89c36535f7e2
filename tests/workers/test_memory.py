"""What is remembered, for how long and for whom: the second day, the second run, the second account, the same id again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from tests.harness import House, message, wait_for

DAY_MS = 86_400_000


def days_pass(house: House, days: float) -> None:
    """Everything in Redis that runs out is so many days nearer to it."""
    for key in house.redis.scan_iter():
        left: Any = house.redis.pttl(key)
        if left > 0:
            # A time to live that is not positive deletes the key.
            house.redis.pexpire(key, round(left - days * DAY_MS))
    for key in house.redis.scan_iter("coupontools:marks:*"):
        for mark in house.redis.hkeys(key):
            # Seconds, and behind them what was asked for.
            value: Any = house.redis.hget(key, mark)
            until = int(value[:8], 16) - round(days * 86400)
            house.redis.hset(key, mark, f"{until:08x}" + value[8:].decode())


def contact(house: House, **more: Any) -> dict[str, Any]:
    return {"channel": "sms", "group_id": house.new_group(), "phone": "+32470999999", **more}


def calls(house: House, endpoint: str = "sms/addcontact") -> int:
    return sum(call["endpoint"] == endpoint for call in house.sandbox.requests())


def kind_of(event: dict[str, Any]) -> str:
    return str(event["data"]["error"]["kind"])


def send(house: House, actor: str, arguments: dict[str, Any], message_id: str, redis_id: str = "") -> str:
    """Enqueues under ids of one's own; answers the Redis id."""
    queue, drawn, body = message(actor, arguments, message_id=message_id)
    redis_id = redis_id or drawn
    house.push(queue, redis_id, json.dumps(body | {"options": {"redis_message_id": redis_id}}))
    return redis_id


def rejection(house: House, redis_id: str, queue: str = "contacts") -> dict[str, Any]:
    """The event that tells of an entry that was set aside."""
    event_id = f"{queue}/{redis_id}"
    found = wait_for(
        lambda: [event for event in house.events() if event["id"] == event_id],
        what=f"message.rejected for {redis_id}",
        show=house.log_tail,
    )
    assert [event["type"] for event in found] == ["coupontools.message.rejected"]
    return dict(found[0]["data"])


def acknowledged(house: House, redis_id: str, queue: str = "contacts") -> None:
    wait_for(
        lambda: not house.redis.hexists(f"dramatiq:{queue}.msgs", redis_id),
        what=f"the acknowledgement of {redis_id}",
        show=house.log_tail,
    )


# -- Too long -----------------------------------------------------------------------------------------------------------------


def test_a_listing_asked_for_again_tells_what_was_added_since(house: House) -> None:
    house.worker()
    ada = contact(house)
    asked = {"channel": "sms", "group_id": ada["group_id"]}
    assert house.answer(house.enqueue("list_contacts", asked))["data"]["total"] == 0
    house.answer(house.enqueue("add_contact", ada))
    second = house.answer(house.enqueue("list_contacts", asked))
    assert (second["data"]["total"], second["data"]["replayed"]) == (1, False)
    assert "idempotencykey" not in second


def test_a_listing_delivered_twice_is_told_once(house: House) -> None:
    house.worker()
    message_id = str(uuid.uuid4())
    send(house, "list_groups", {"channel": "sms"}, message_id)
    house.answer(message_id)
    again = send(house, "list_groups", {"channel": "sms"}, message_id)
    acknowledged(house, again, "reads")
    assert len(house.answers(message_id)) == calls(house, "sms/grouplist") == 1


@pytest.mark.parametrize("own", [{}, {"idempotency_key": "mine"}])
def test_a_webhook_that_the_api_learns_of_later_is_verified_then(house: House, own: dict[str, str]) -> None:
    house.worker()
    body = house.sandbox.issue_webhook("coupon_claimed")
    house.sandbox.faults("envelope", code=509, endpoint="webhook/verification", count=1)
    first = house.answer(house.enqueue("verify_webhook", payload=body, **own))
    assert (first["type"], first["data"]["reason"]) == ("coupontools.webhook.rejected", "not_found")
    second = house.answer(house.enqueue("verify_webhook", payload=body, **own))
    assert (second["type"], second["data"]["replayed"]) == ("coupontools.webhook.verified", False)
    # What was verified is remembered.
    assert house.answer(house.enqueue("verify_webhook", payload=body, **own))["data"]["replayed"]


# -- Too short ----------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_imported_every_night_adds_nobody_twice(house: House) -> None:
    house.worker()
    ada = contact(house, first_name="Ada")
    house.answer(house.enqueue("add_contact", ada))
    for _ in range(10):
        days_pass(house, 1)
        assert house.answer(house.enqueue("add_contact", ada))["data"]["replayed"]
    for _ in range(10):
        # A file whose names were corrected asks for the contact as well.
        days_pass(house, 1)
        assert kind_of(house.answer(house.enqueue("add_contact", ada, last_name="Lovelace"))) == "conflict"
    assert calls(house) == house.counts()["contacts"] == 1
    # Whatever nobody has asked for in a week is forgotten.
    days_pass(house, 7.01)
    assert not house.answer(house.enqueue("add_contact", ada))["data"]["replayed"]


def test_a_message_sent_again_every_night_under_its_id_stays_answered(house: House) -> None:
    house.worker()
    ada, message_id = contact(house), str(uuid.uuid4())
    send(house, "add_contact", ada, message_id)
    house.answer(message_id)
    for _ in range(10):
        days_pass(house, 1)
        acknowledged(house, send(house, "add_contact", ada, message_id))
    assert len(house.answers(message_id)) == calls(house) == 1


def test_the_pages_of_a_remembered_listing_last_as_long_as_it_is_asked_for(house: House) -> None:
    house.worker()
    asked = {"channel": "sms", "idempotency_key": "mine"}
    house.answer(house.enqueue("list_groups", asked))
    for _ in range(10):
        days_pass(house, 1)
        assert house.answer(house.enqueue("list_groups", asked))["data"]["replayed"]


# -- For the wrong account ----------------------------------------------------------------------------------------------------


@pytest.fixture
def production() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def test_another_account_begins_without_the_outcomes_of_the_first(house: House, production: Sandbox) -> None:
    first = house.worker()
    ada = contact(house)
    house.answer(house.enqueue("add_contact", ada))
    first.terminate()
    production.add_groups("sms", name="Pizza", group_id=ada["group_id"])
    second = house.worker(COUPONTOOLS_BASE_URL=production.url)
    assert not house.answer(house.enqueue("add_contact", ada))["data"]["replayed"]
    assert production.state()["counts"]["contacts"] == 1
    second.terminate()
    # Back at the first, what was done there is known.
    house.worker()
    assert house.answer(house.enqueue("add_contact", ada))["data"]["replayed"]
    assert house.counts()["contacts"] == 1


def test_another_account_begins_without_the_hold_of_the_first(house: House, production: Sandbox) -> None:
    house.sandbox.faults("account_error", code=101)
    first = house.worker()
    waiting = house.enqueue("list_groups", channel="sms")
    wait_for(lambda: house.tally()["account.held"], what="the hold", show=house.log_tail)
    first.terminate()
    assert [hold["scope"] for hold in status(house)["holds"]] == ["account"]
    house.worker(COUPONTOOLS_BASE_URL=production.url)
    assert house.answer(waiting)["type"] == "coupontools.groups.listed"
    assert house.tally()["account.released"] == 0
    # Who only looks need not know the account: the worker says which one it works for.
    assert status(house)["holds"] == []


def status(house: House) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(house.run("status", "--json").stdout)
    return state


# -- The same id again --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mended", [False, True])
def test_a_message_that_failed_and_is_sent_again_under_its_id_is_told_to_take_a_new_one(
    house: House, *, mended: bool
) -> None:
    worker = house.worker()
    ada, message_id = contact(house), str(uuid.uuid4())
    wrong = {**ada, "phone": "nobody"}
    send(house, "add_contact", wrong, message_id)
    assert kind_of(house.answer(message_id)) == "invalid"
    again = send(house, "add_contact", ada if mended else wrong, message_id)
    told = rejection(house, again)
    assert "new message_id" in told["reason"]
    assert json.loads(told["raw"])["message_id"] == message_id
    wait_for(
        lambda: [line for line in worker.log_lines("message.rejected") if line["redis_message_id"] == again],
        what="its log line",
    )
    # The first answer stands; nothing was sent, and nothing is lost: it is kept, and can be sent again under a new id.
    assert len(house.answers(message_id)) == 1
    assert calls(house) == 0
    assert house.redis.zscore("dramatiq:contacts.XQ", again) is not None
    acknowledged(house, again)


def test_a_message_that_failed_is_quiet_when_it_is_delivered_again(house: House) -> None:
    """A worker that was taken for dead and was not: its message lies on the queue once more, under the same Redis id."""
    house.worker()
    message_id = str(uuid.uuid4())
    wrong = {**contact(house), "phone": "nobody"}
    redis_id = send(house, "add_contact", wrong, message_id)
    house.answer(message_id)
    acknowledged(house, redis_id)
    before = len(house.events())
    send(house, "add_contact", wrong, message_id, redis_id)
    acknowledged(house, redis_id)
    assert len(house.events()) == before


def test_a_wrong_message_under_the_same_ids_with_other_arguments_is_not_swallowed(house: House) -> None:
    house.worker()
    message_id = str(uuid.uuid4())
    redis_id = send(house, "list_groups", {"channel": "smss"}, message_id)
    house.answer(message_id)
    acknowledged(house, redis_id, "reads")
    send(house, "list_groups", {"channel": "fax", "colour": 1}, message_id, redis_id)
    assert "answered before" in rejection(house, redis_id, "reads")["reason"]


def test_a_message_that_succeeded_is_quiet_when_it_is_sent_again(house: House) -> None:
    house.worker()
    ada, message_id = contact(house), str(uuid.uuid4())
    send(house, "add_contact", ada, message_id)
    house.answer(message_id)
    before = len(house.events())
    acknowledged(house, send(house, "add_contact", ada, message_id))
    assert len(house.events()) == before
    assert calls(house) == 1


@pytest.mark.parametrize(
    "other", [{"phone": "+32470888888"}, {"idempotency_key": "anew"}, {"first_name": "Ada"}]
)
def test_an_id_that_was_answered_is_no_id_for_another_job(house: House, other: dict[str, str]) -> None:
    house.worker()
    ada, message_id = contact(house), str(uuid.uuid4())
    send(house, "add_contact", ada, message_id)
    house.answer(message_id)
    assert (
        "answered before"
        in rejection(house, send(house, "add_contact", {**ada, **other}, message_id))["reason"]
    )
    assert len(house.answers(message_id)) == calls(house) == 1


# -- The same contact, spelled anew -------------------------------------------------------------------------------------------


def test_a_number_that_was_added_is_not_added_again_under_another_name(house: House) -> None:
    house.worker()
    jon = contact(house, first_name="Jon")
    house.answer(house.enqueue("add_contact", jon))
    john = house.answer(house.enqueue("add_contact", {**jon, "first_name": "John"}))
    assert kind_of(john) == "conflict"
    assert "other data" in john["data"]["error"]["message"]
    assert calls(house) == house.counts()["contacts"] == 1
    # A key of one's own adds it all the same. A conflict leaves no dead letter: sending it again cannot help.
    house.answer(house.enqueue("add_contact", {**jon, "first_name": "John"}, idempotency_key="anew"))
    assert house.counts()["contacts"] == 2
    assert house.redis.zcard("dramatiq:contacts.XQ") == 0


def test_the_same_number_waits_for_the_first_and_is_a_conflict_if_that_succeeds(house: House) -> None:
    house.sandbox.faults("rate_limited", retry_after=1, endpoint="sms/addcontact", count=1)
    house.worker()
    jon = contact(house, first_name="Jon")
    first = house.enqueue("add_contact", jon)
    wait_for(lambda: calls(house), what="the first call", show=house.log_tail)
    second = house.enqueue("add_contact", {**jon, "first_name": "John"})
    answers = house.wait_answered([first, second])
    assert answers[first][0]["type"] == "coupontools.contact.added"
    assert kind_of(answers[second][0]) == "conflict"
    assert [c["first_name"] for c in house.sandbox.state()["contacts"]] == ["Jon"]


def test_the_same_number_waits_for_the_first_and_is_carried_out_if_that_fails(house: House) -> None:
    house.sandbox.faults("rate_limited", retry_after=1, endpoint="sms/addcontact", count=1)
    house.sandbox.faults("envelope", code=300, endpoint="sms/addcontact", count=1)
    house.worker()
    jon = contact(house, first_name="Jon")
    first = house.enqueue("add_contact", jon)
    wait_for(lambda: calls(house), what="the first call", show=house.log_tail)
    second = house.enqueue("add_contact", {**jon, "first_name": "John"})
    answers = house.wait_answered([first, second])
    assert kind_of(answers[first][0]) == "rejected"
    assert (answers[second][0]["type"], answers[second][0]["data"]["attempts"]) == (
        "coupontools.contact.added",
        1,
    )
    assert [c["first_name"] for c in house.sandbox.state()["contacts"]] == ["John"]
