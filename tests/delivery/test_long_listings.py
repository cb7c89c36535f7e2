"""Listings that take longer than a lease: the lease is renewed, and the listing is given up at the deadline."""

from __future__ import annotations

import pytest

from tests.harness import House, wait_for

#: A lease of six seconds, and a listing that takes about eight.
SHORT = {"COUPONTOOLS_CONNECT_TIMEOUT_SECONDS": 0.5, "COUPONTOOLS_TIMEOUT_SECONDS": 0.5}
INTERVAL_SECONDS = 0.01
CONTACTS = 5


@pytest.mark.story
def test_two_jobs_of_one_key_do_not_take_a_long_listing_from_each_other(house: House) -> None:
    group_id = house.new_group()
    house.sandbox.add_contacts("sms", group_id, count=CONTACTS)
    house.sandbox.faults("trickle", interval_seconds=INTERVAL_SECONDS, endpoint="sms/userlist")
    worker = house.worker(**SHORT)
    arguments = {"channel": "sms", "group_id": group_id, "idempotency_key": "one"}
    ids = [house.enqueue("list_contacts", arguments) for _ in range(2)]
    answers = house.wait_answered(ids, seconds=60)
    assert sorted(events[0]["data"]["replayed"] for events in answers.values()) == [False, True]
    # If this machine stood still for half a second, the job that read the listing read it anew.
    broken_off = [
        line for line in worker.log_lines("job.finished") if line.get("error_kind") == "MayHaveHappened"
    ]
    assert len(house.sandbox.requests()) == 1 + len(broken_off)


def test_a_listing_is_given_up_at_the_deadline_and_costs_nothing(house: House) -> None:
    group_id = house.new_group()
    house.sandbox.add_contacts("sms", group_id, count=300)
    house.sandbox.faults("trickle", interval_seconds=0.2, endpoint=["sms/userlist", "sms/grouplist"])
    worker = house.worker(**SHORT)
    ids = [
        house.enqueue("list_contacts", channel="sms", group_id=group_id, deadline_seconds=2),
        # This job reads a listing for its baseline.
        house.enqueue("create_group", channel="sms", name="Pizza", deadline_seconds=2),
    ]
    answers = house.wait_answered(ids, seconds=60)
    assert {events[0]["data"]["error"]["kind"] for events in answers.values()} == {"expired"}
    assert not [entry for entry in house.sandbox.requests() if entry["endpoint"] == "sms/addgroup"]
    # Neither job holds up the next one.
    house.sandbox.clear_faults()
    again = house.answer(house.enqueue("create_group", channel="sms", name="Pizza"))
    assert again["type"] == "coupontools.group.created"
    wait_for(lambda: worker.terminate() == 0, what="the end")


def test_a_read_back_that_drips_or_is_put_off_holds_up_nobody(house: House) -> None:
    """Otherwise the slow listing would keep the reader lock, so that others end as `unknown`, and the 503 would pause the whole account."""
    drips, put_off, others = (house.new_group(name=name) for name in ("A", "B", "C"))
    house.sandbox.faults("close_after", endpoint="sms/addcontact", containing=drips)
    house.sandbox.faults("close_after", endpoint="sms/addcontact", containing=put_off)
    house.sandbox.faults("trickle", interval_seconds=1, endpoint="sms/userlist", containing=drips, count=1)
    house.sandbox.faults("unavailable", retry_after=3599, endpoint="sms/userlist", containing=put_off)
    house.worker(COUPONTOOLS_LISTING_TIMEOUT_SECONDS=3)

    def lose(group_id: str) -> str:
        return house.enqueue("add_contact", channel="sms", group_id=group_id, phone="+32470000001")

    def listings() -> int:
        return sum(entry["endpoint"] == "sms/userlist" for entry in house.sandbox.requests())

    found, _ = lose(drips), lose(put_off)
    wait_for(lambda: listings() >= 2, seconds=60, what="both look-ups", show=house.log_tail)
    quick = [
        house.enqueue("add_contact", channel="sms", group_id=others, phone=f"+3247000001{number}")
        for number in range(5)
    ]
    house.wait_answered([*quick, found], seconds=60)
    assert house.tally() == {"contact.added": 6}
    assert house.answers(found)[0]["data"]["reconciled"]
