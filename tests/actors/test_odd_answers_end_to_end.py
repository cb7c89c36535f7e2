"""Answers that the API's documents do not show: how each job ends, with a real worker."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import House

#: The form of the verification's answer -> how a job with a webhook ends, whether it has the body or only the id.
VERIFICATIONS = {
    "error_beside_ok": "unverifiable",
    "message_alone": "unverifiable",
    "empty_record": "unverifiable",
    "other_webhook": "expired",
    "under_data": "verified",
}
#: How a listing writes addresses -> the address of a contact that was added although the answer was lost.
ADDRESSES = {"ascii_addresses": "ada@faß.de", "escaped_addresses": "o'brien@example.com"}
MANY = 1234


def outcome(event: dict[str, Any]) -> str:
    """Return why a webhook is rejected, why a job failed, or else what happened."""
    data = event["data"]
    return str(data.get("reason") or data.get("error", {}).get("kind") or event["type"].rpartition(".")[2])


def webhooks(house: House) -> dict[str, str]:
    """Enqueue two webhooks for each form of the answer."""
    expected = {}
    for shape, ends_as in VERIFICATIONS.items():
        body = house.sandbox.issue_webhook("coupon_claimed")
        house.sandbox.faults("shaped", shapes=[shape], containing=body["id"])
        for asked in ({"payload": body}, {"webhook_id": body["id"]}):
            patience = 2 if ends_as == "expired" else 60
            expected[house.enqueue("verify_webhook", asked, deadline_seconds=patience)] = ends_as
    return expected


def contacts(house: House) -> dict[str, str]:
    """Enqueue contacts whose calls are lost or refused, each in a group of its own."""
    expected = {}
    for shape, address in ADDRESSES.items():
        group_id = house.new_group("email")
        house.sandbox.faults("shaped", shapes=[shape], endpoint="email/userlist", containing=group_id)
        house.sandbox.faults("close_after", endpoint="email/addcontact", containing=group_id, count=1)
        expected[house.enqueue("add_contact", channel="email", group_id=group_id, email=address)] = "added"
    # In an older spelling of domains and names, this address is another contact's.
    group_id = house.new_group("email", contacts=[{"email": "strauss@example.com"}])
    house.sandbox.faults("close_before", endpoint="email/addcontact", containing=group_id, count=1)
    lost = {"channel": "email", "group_id": group_id, "email": "strauß@example.com"}
    expected[house.enqueue("add_contact", lost)] = "added"
    group_id = house.new_group("sms")
    full = {"code": 7, "message": "Corporate limit of contacts reached", "containing": group_id}
    house.sandbox.faults("envelope", endpoint="sms/addcontact", **full)
    refused = {"channel": "sms", "group_id": group_id, "phone": "+32470000001"}
    expected[house.enqueue("add_contact", refused)] = "rejected"
    return expected


def listings(house: House) -> dict[str, bool]:
    """Enqueue listings whose amount is written with a comma, and return whether each is complete."""
    expected = {}
    for shapes in (["amount_with_commas"], ["amount_with_commas", "missing_row"]):
        group_id = house.new_group("sms")
        house.sandbox.add_contacts("sms", group_id, count=MANY)
        house.sandbox.faults("shaped", shapes=shapes, endpoint="sms/userlist", containing=group_id)
        message_id = house.enqueue("list_contacts", channel="sms", group_id=group_id)
        expected[message_id] = "missing_row" not in shapes
    return expected


@pytest.mark.story
def test_what_each_job_ends_as(house: House) -> None:
    house.sandbox.settings(email_listing=True)
    house.worker()
    singles, complete = webhooks(house) | contacts(house), listings(house)
    answers = house.wait_answered([*singles, *complete])
    assert {message_id: outcome(answers[message_id][0]) for message_id in singles} == singles
    for message_id, is_complete in complete.items():
        pages = answers[message_id]
        assert {(page["data"]["total"], page["data"]["complete"]) for page in pages} == {(MANY, is_complete)}
    emails = [contact["email"] for contact in house.sandbox.state()["contacts"] if contact.get("email")]
    assert sorted(emails) == sorted([*ADDRESSES.values(), "strauss@example.com", "strauß@example.com"])
    assert house.tally()["account.held"] == 0
