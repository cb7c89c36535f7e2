"""Whatever form the API gives its listings, a call whose answer was lost is made again only if it did not happen."""

from __future__ import annotations

from typing import Any

from tests.harness import House

#: The shape of the listing -> how a job ends whose call happened, and one whose call did not; the answers to both are lost.
CONTACTS = {
    "double_zero": ("contact.added", "contact.added"),
    "float_numbers": ("contact.added", "contact.added"),
    "under_data": ("contact.added", "contact.added"),
    "notice": ("contact.added", "contact.added"),
    "next_page": ("contact.added", "unknown"),
    "masked": ("unknown", "contact.added"),
    # The row without a number is known from the first look, so it was there before the second call.
    "no_address": ("unknown", "contact.added"),
    "other_group": ("unknown", "unknown"),
    # The row that is missing is the contact's.
    "repeated_row": ("unknown", "unknown"),
}
GROUPS = {
    "twice_escaped_names": ("group.created", "group.created"),
    "null_names": ("unknown", "group.created"),
    "counted_names": ("unknown", "group.created"),
    "cut_names": ("unknown", "group.created"),
}
#: The deadline of a job that stays undecided, in seconds. Any other job has all the time that a busy machine needs.
PATIENCE = 2


def outcome(event: dict[str, Any]) -> str:
    """Return the event's type, or why the job failed."""
    kind = str(event["type"]).removeprefix("coupontools.")
    return str(event["data"]["error"]["kind"]) if kind.endswith("failed") else kind


def told(
    house: House, actor: str, endpoint: str, wanted: tuple[str, ...], *jobs: dict[str, Any]
) -> tuple[str, ...]:
    """Lose the answers of two jobs, one after the other; the call of the first happens."""
    outcomes = []
    for fault, want, job in zip(("close_after", "close_before"), wanted, jobs, strict=True):
        house.sandbox.faults(fault, endpoint=endpoint, count=1)
        patience = {"deadline_seconds": PATIENCE} if want == "unknown" else {}
        event = house.answer(house.enqueue(actor, job, channel="sms", **patience))
        outcomes.append(outcome(event))
    house.sandbox.clear_faults()
    return tuple(outcomes)


def test_contacts(house: House) -> None:
    house.worker()
    for shape, outcomes in CONTACTS.items():
        group_id = house.new_group()
        house.sandbox.add_contacts("sms", group_id, contacts=[{"phone": "+32490000001"}])
        house.sandbox.faults("shaped", shapes=[shape], endpoint="sms/userlist")
        jobs = ({"group_id": group_id, "phone": phone} for phone in ("+32470111222", "+32470333444"))
        assert told(house, "add_contact", "sms/addcontact", outcomes, *jobs) == outcomes, shape
    assert house.counts()["surplus_contacts"] == 0


def test_an_api_that_adds_each_contact_under_another_number(house: House) -> None:
    """It added the contact again and again until the deadline."""
    group_id = house.new_group()
    house.sandbox.faults("shaped", shapes=["wrapped_numbers"], endpoint=["sms/addcontact", "sms/userlist"])
    house.worker(READ_BACK_AFTER_SECONDS=0.2)
    job = {"channel": "sms", "group_id": group_id, "phone": "+32470111222", "deadline_seconds": 6}
    error = house.answer(house.enqueue("add_contact", job))["data"]["error"]
    assert error["kind"] == "unknown"
    assert "the API answered twice about another group, number" in error["message"]
    assert house.sandbox.stats()["endpoints"]["sms/addcontact"]["calls"] == 2


def test_a_single_answer_about_another_number_is_recovered_from(house: House) -> None:
    group_id = house.new_group()
    house.sandbox.faults("shaped", shapes=["wrapped_numbers"], endpoint="sms/addcontact", count=1)
    # The listing shows the contact of the first call under another number, so the call is made once more.
    house.sandbox.faults("shaped", shapes=["wrapped_numbers"], endpoint="sms/userlist")
    house.worker(READ_BACK_AFTER_SECONDS=0.2)
    event = house.answer(house.enqueue("add_contact", channel="sms", group_id=group_id, phone="+32470111222"))
    assert (event["type"], event["data"]["attempts"]) == ("coupontools.contact.added", 2)


def test_groups(house: House) -> None:
    house.worker()
    for shape, outcomes in GROUPS.items():
        house.sandbox.faults("shaped", shapes=[shape], endpoint="sms/grouplist")
        jobs = ({"name": f"Zoë's Pizza & {shape} {number}"} for number in (1, 2))
        assert told(house, "create_group", "sms/addgroup", outcomes, *jobs) == outcomes, shape
    assert house.counts()["surplus_groups"] == 0


def test_two_spellings_of_one_name_get_a_group_each(house: House) -> None:
    house.worker()
    house.sandbox.faults("shaped", shapes=["escaped_names"], endpoint="sms/grouplist")
    house.sandbox.faults("close_after", endpoint="sms/addgroup", count=2)
    jobs = [{"channel": "sms", "name": name} for name in ("R&D", "R&amp;D")]
    events = [house.answer(message_id) for message_id in house.enqueue_many("create_group", jobs)]
    assert [outcome(event) for event in events] == ["group.created"] * 2
    assert len({event["data"]["group_id"] for event in events}) == 2
    assert house.counts()["surplus_groups"] == 0
