"""Listings that take longer than a lease: they are kept, and given up at the deadline."""

from __future__ import annotations

from tests.harness import House, wait_for

#: A lease of six seconds, and a listing that takes about eight.
SHORT = {"COUPONTOOLS_CONNECT_TIMEOUT_SECONDS": 0.5, "COUPONTOOLS_TIMEOUT_SECONDS": 0.5}
INTERVAL_SECONDS = 0.01
CONTACTS = 5


def test_two_jobs_of_one_key_do_not_take_a_long_listing_from_each_other(house: House) -> None:
    group_id = house.new_group()
    house.sandbox.add_contacts("sms", group_id, count=CONTACTS)
    house.sandbox.faults("trickle", interval_seconds=INTERVAL_SECONDS, endpoint="sms/userlist")
    house.worker(**SHORT)
    arguments = {"channel": "sms", "group_id": group_id, "idempotency_key": "one"}
    ids = [house.enqueue("list_contacts", arguments) for _ in range(2)]
    answers = house.wait_answered(ids, seconds=60)
    assert sorted(events[0]["data"]["replayed"] for events in answers.values()) == [False, True]
    assert len(house.sandbox.requests()) == 1


def test_a_listing_is_given_up_at_the_deadline_and_costs_nothing(house: House) -> None:
    group_id = house.new_group()
    house.sandbox.add_contacts("sms", group_id, count=300)
    house.sandbox.faults("trickle", interval_seconds=0.2, endpoint=["sms/userlist", "sms/grouplist"])
    worker = house.worker(**SHORT)
    ids = [
        house.enqueue("list_contacts", channel="sms", group_id=group_id, deadline_seconds=2),
        # Its listing is the one that notes what is there before the first call.
        house.enqueue("create_group", channel="sms", name="Pizza", deadline_seconds=2),
    ]
    answers = house.wait_answered(ids, seconds=60)
    assert {events[0]["data"]["error"]["kind"] for events in answers.values()} == {"expired"}
    assert not [entry for entry in house.sandbox.requests() if entry["endpoint"] == "sms/addgroup"]
    # Neither holds up who comes next.
    house.sandbox.clear_faults()
    again = house.answer(house.enqueue("create_group", channel="sms", name="Pizza"))
    assert again["type"] == "coupontools.group.created"
    wait_for(lambda: worker.terminate() == 0, what="the end")
