"""Every error that the vendor's document lists, at every endpoint, through a real worker: what the job is answered, or why it waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import House, wait_for

#: Endpoint (without its channel), code, text; vendor's document, "Possible errors", and its page on errors (300, 302, 304, 305).
REFUSALS = [
    ("userlist", 200, "Missing parameter: {group}"),
    ("userlist", 301, "Invalid character in parameter: {group}"),
    ("userlist", 514, "Group ID not found"),
    ("addcontact", 200, "Missing parameter: {address}"),
    ("addcontact", 200, "Missing parameter: {group}"),
    ("addcontact", 301, "Invalid character in parameter: {group}"),
    ("addcontact", 303, "incorrect format in birthday field, must be yyyy-MM-dd"),
    ("addcontact", 514, "Group ID not found"),
    ("addcontact", 300, "Wrong value"),
    ("addcontact", 302, "Value not in list"),
    ("addcontact", 304, "Email exists"),
    ("addcontact", 305, "Email not valid"),
]
FAILED = {"userlist": "contacts.failed", "addcontact": "contact.failed"}


def job_for(endpoint: str, group_id: str, number: int) -> tuple[str, dict[str, Any]]:
    """The job that calls this endpoint; another one for each number."""
    channel, _, name = endpoint.partition("/")
    key = {"idempotency_key": f"{endpoint} {number}"}
    if channel == "webhook":
        return "verify_webhook", {"webhook_id": "evt_01234567890123456789", **key}
    address = {"phone": f"+3247012{number:04d}"} if channel == "sms" else {"email": f"a{number}@example.com"}
    actor, arguments = {
        "grouplist": ("list_groups", {}),
        "userlist": ("list_contacts", {"group_id": group_id}),
        "addgroup": ("create_group", {"name": f"Group {number}"}),
        "addcontact": ("add_contact", {"group_id": group_id, **address}),
    }[name]
    return actor, {"channel": channel, **arguments, **key}


@pytest.mark.parametrize("channel", ["sms", "email"])
def test_a_refusal_for_good_fails_the_job_with_its_code(house: House, channel: str) -> None:
    house.worker()
    group_id = house.new_group(channel)
    words = {"group": f"{channel}group", "address": "phone" if channel == "sms" else "email"}
    for number, (name, code, template) in enumerate(REFUSALS):
        endpoint, text = f"{channel}/{name}", template.format(**words)
        # Both documented forms, with the status of an error and with 200.
        form = {"form": "list" if number % 2 else "number", "status": 422 if number % 3 else 200}
        house.sandbox.faults("envelope", endpoint=endpoint, count=1, code=code, message=text, **form)
        actor, arguments = job_for(endpoint, group_id, number)
        event = house.answer(house.enqueue(actor, arguments))
        error = event["data"]["error"]
        assert event["type"] == f"coupontools.{FAILED[name]}", text
        assert (event["subject"], event["data"]["attempts"]) == (group_id, 1)
        assert (error["kind"], error["code"], error["details"]) == ("rejected", code, [])
        assert text in error["message"]
        # A failure frees its key: the same job again is called again, and this time carried out.
        again = house.answer(house.enqueue(actor, arguments))
        assert (again["data"]["replayed"], "error" in again["data"]) == (False, False), again
    assert house.redis.zcard("dramatiq:contacts.XQ") == 9
    assert house.redis.zcard("dramatiq:reads.XQ") == 3
    assert house.counts()["surplus_contacts"] == 0


def test_refusals_that_the_api_makes_by_itself(house: House) -> None:
    house.worker()
    asked = {
        code: house.enqueue(actor, arguments)
        for code, (actor, arguments) in {
            514: ("add_contact", {"channel": "sms", "group_id": "gro_7", "phone": "+32470123456"}),
            # A group of the other channel is no group of this one.
            -514: ("list_contacts", {"channel": "email", "group_id": house.new_group("sms")}),
        }.items()
    }
    for code, message_id in asked.items():
        error = house.answer(message_id)["data"]["error"]
        assert (error["kind"], error["code"]) == ("rejected", abs(code))
    house.sandbox.faults(
        "envelope", endpoint="webhook/verification", count=1, code=200, message="Missing parameter: webhook"
    )
    failed = house.answer(house.enqueue("verify_webhook", webhook_id="evt_1"))
    assert (failed["type"], failed["data"]["error"]["code"]) == ("coupontools.webhook.failed", 200)
    rejected = house.answer(house.enqueue("verify_webhook", webhook_id="evt_1"))
    assert (rejected["type"], rejected["data"]["reason"]) == ("coupontools.webhook.rejected", "not_found")


def told(house: House, kind: str) -> list[dict[str, Any]]:
    return [event["data"] for event in house.events() if event["type"] == f"coupontools.account.{kind}"]


def hold_and_go_on(house: House, code: int, endpoints: list[str], scopes: list[str], number: int) -> None:
    """The API refuses the account at these endpoints; the jobs wait, and are carried out once it does no more."""
    group = {"sms": "gro_1", "email": "gro_2"}
    before = len(told(house, "held"))
    house.sandbox.faults("account_error", endpoint=endpoints, code=code)
    asked = [
        house.enqueue(*job_for(endpoint, group.get(endpoint.partition("/")[0], ""), number))
        for endpoint in endpoints
    ]
    held: Callable[[], bool] = lambda: len(told(house, "held")) == before + len(scopes)  # noqa: E731
    wait_for(held, what=f"a hold for {code}", show=house.log_tail)
    new = told(house, "held")[before:]
    assert sorted(data["scope"] for data in new) == scopes
    assert {data["code"] for data in new} == {code}
    assert all(data["message"] and data["retry_at"].endswith("Z") for data in new)
    assert not any(house.answers(message_id) for message_id in asked)
    house.sandbox.clear_faults()
    answers = house.wait_answered(asked)
    for (event,) in answers.values():
        # The refused call does not count as an attempt.
        assert (event["data"]["attempts"], "error" in event["data"]) == (1, False), event
    wait_for(lambda: len(told(house, "released")) == len(told(house, "held")), what="the release")
    assert sorted(data["scope"] for data in told(house, "released")[before:]) == scopes


def seed(house: House) -> None:
    house.new_group("sms", group_id="gro_1")
    house.new_group("email", group_id="gro_2")
    house.worker()


def test_a_channel_that_is_not_connected_holds_its_jobs_alone(house: House) -> None:
    seed(house)
    for number, name in enumerate(("grouplist", "userlist", "addgroup", "addcontact")):
        hold_and_go_on(house, 103, [f"sms/{name}", f"email/{name}"], ["email", "sms"], number)
    assert not [kind for kind in house.tally() if kind.endswith("failed")]


def test_104_holds_the_email_jobs_and_nobody_else(house: House) -> None:
    seed(house)
    house.sandbox.faults("account_error", endpoint="email/addcontact", code=104)
    held = house.enqueue("add_contact", channel="email", group_id="gro_2", email="a@example.com")
    wait_for(lambda: told(house, "held"), what="the hold", show=house.log_tail)
    assert [(data["scope"], data["code"]) for data in told(house, "held")] == [("email", 104)]
    other = house.enqueue("add_contact", channel="sms", group_id="gro_1", phone="+32470123456")
    webhook = house.enqueue("verify_webhook", webhook_id="evt_1")
    house.wait_answered([other, webhook])
    assert house.answers(held) == []
    house.sandbox.clear_faults()
    assert house.answer(held)["type"] == "coupontools.contact.added"
    wait_for(lambda: told(house, "released"), what="the release", show=house.log_tail)


def test_a_refused_account_holds_everything_until_it_is_right_again(house: House) -> None:
    seed(house)
    house.sandbox.issue_webhook("coupon_claimed")
    hold_and_go_on(house, 1000, ["webhook/verification"], ["account"], 1)
    hold_and_go_on(house, 101, ["sms/addcontact"], ["account"], 2)
    hold_and_go_on(house, 102, ["email/addgroup"], ["account"], 3)
    assert not [kind for kind in house.tally() if kind.endswith("failed")]
