"""When a job ends at its deadline, its error contains the last reason why it was put off."""

from __future__ import annotations

from tests.harness import House


def test_of_a_listing_that_could_not_be_read(house: House) -> None:
    group_id = house.new_group()
    house.sandbox.faults("html", endpoint="sms/userlist")
    house.worker()
    event = house.answer(house.enqueue("list_contacts", channel="sms", group_id=group_id, deadline_seconds=5))
    error = event["data"]["error"]
    assert error["kind"] == "expired"
    assert "the API certainly did not carry it out; last reason: " in error["message"]
    assert "HTTP 200" in error["message"]


def test_of_a_lost_call_that_could_not_be_looked_up(house: House) -> None:
    group_id = house.new_group()
    house.sandbox.faults("close_after", endpoint="sms/addcontact")
    house.sandbox.faults("bad_gateway", endpoint="sms/userlist")
    house.worker(READ_BACK_AFTER_SECONDS=0.2)
    event = house.answer(
        house.enqueue(
            "add_contact", channel="sms", group_id=group_id, phone="+32470000001", deadline_seconds=6
        )
    )
    error = event["data"]["error"]
    assert error["kind"] == "unknown"
    assert "HTTP 502" in error["message"]
