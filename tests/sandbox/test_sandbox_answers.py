"""Every endpoint's answer against the vendor's example: the same keys with the same types."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sandbox import Sandbox

Api = Callable[..., httpx.Response]

GROUP_LIST = {
    "status": {"status": "OK"},
    "amount_of_groups": 2,
    "group": [
        {"ID": "gro_123456", "name": "Subscribers keyword pizza"},
        {"ID": "gro_1243434", "name": "Subscribers keyword burger"},
    ],
}
SMS_CONTACTS = [
    {
        "phone": "123456789012",
        "first_name": "John",
        "last_name": "Doe",
        "unsubscribed": "1",
        "unsubscribedate": "13/07/2018 19:47 UTC",
    },
    {"phone": "441234567890", "first_name": "Jeff", "last_name": "Jefferson", "unsubscribed": "0"},
]


def shape(value: Any) -> Any:
    """Return the keys and types of a document, in its order."""
    if isinstance(value, dict):
        return [(key, shape(part)) for key, part in value.items()]
    if isinstance(value, list):
        return [shape(part) for part in value]
    return type(value)


def answered(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


@pytest.mark.parametrize("channel", ["sms", "email"])
def test_grouplist_is_the_vendors_example(sandbox: Sandbox, api: Api, channel: str) -> None:
    for group in GROUP_LIST["group"]:  # type: ignore[attr-defined]
        sandbox.add_groups(channel, group_id=group["ID"], name=group["name"])
    document = answered(api(f"{channel}/grouplist"))
    assert document == GROUP_LIST
    assert shape(document) == shape(GROUP_LIST)


def test_sms_userlist_is_the_vendors_example(sandbox: Sandbox, api: Api) -> None:
    name = "Subscribers to keyword pizza"
    seeded = sandbox.add_groups("sms", group_id="gro_123456", name=name, contacts=SMS_CONTACTS)
    document = answered(api("sms/userlist", smsgroup="gro_123456"))
    rows = [
        {"ID": contact_id, **contact}
        for contact_id, contact in zip(seeded["contact_ids"], SMS_CONTACTS, strict=True)
    ]
    expected = {
        "status": {"status": "OK"},
        "group_id": "gro_123456",
        "group_name": name,
        "amount_of_contacts": "2",
        "contact": rows,
    }
    assert document == expected
    assert shape(document) == shape(expected)


def test_email_userlist_shows_phones_and_no_address_unless_told(sandbox: Sandbox, api: Api) -> None:
    contact = {"phone": "+123456789012", "first_name": "John", "last_name": "Doe", "email": "john@doe.com"}
    sandbox.add_groups("email", group_id="gro_123456", contacts=[{**contact, "unsubscribed": "1"}])
    row = answered(api("email/userlist", emailgroup="gro_123456"))["contact"][0]
    assert row == {
        "ID": "con_12345678",
        "phone": "123456789012",
        "first_name": "John",
        "last_name": "Doe",
        "unsubscribed": "1",
    }
    sandbox.settings(email_listing=True)
    row = answered(api("email/userlist", emailgroup="gro_123456"))["contact"][0]
    assert row["email"] == "john@doe.com"


def test_addgroup_answers_a_number_for_sms_and_text_for_email(api: Api) -> None:
    assert answered(api("sms/addgroup", group_name="Example")) == {
        "status": {"status": "OK"},
        "result": "saved_successfully",
        "groupid": 119251,
    }
    assert answered(api("email/addgroup", group_name="Example")) == {
        "status": {"status": "OK"},
        "result": "saved_successfully",
        "group_id": "gro_119252",
    }


@pytest.mark.parametrize(
    ("channel", "address", "sent"),
    [("sms", "phone", "+1234566778899"), ("email", "email", "test@test.com")],
)
def test_addcontact_answers_the_vendors_example(
    sandbox: Sandbox, api: Api, channel: str, address: str, sent: str
) -> None:
    sandbox.add_groups(channel, group_id="gro_123456")
    custom = {"sms": "customfield7", "email": "custom10"}[channel]
    names = {"first_name": "Bill", "last_name": "Jackson"}
    listed = sent.removeprefix("+")
    document = answered(
        api(
            f"{channel}/addcontact",
            **{f"{channel}group": "gro_123456", address: sent, custom: "vip", "birthday": "1980-01-31"},
            **names,
        )
    )
    expected = {
        "status": {"status": "OK"},
        "group_id": "gro_123456",
        address: listed,
        **names,
        "result": "saved_successfully",
        "contact_id": "con_12345678",
    }
    assert document == expected
    assert shape(document) == shape(expected)
    (contact,) = sandbox.state()["contacts"]
    assert contact[address] == listed
    assert (contact["custom"], contact["birthday"]) == ({custom: "vip"}, "1980-01-31")


def test_an_sms_contact_that_was_added_is_listed_without_the_plus(api: Api) -> None:
    group_id = f"gro_{answered(api('sms/addgroup', group_name='Pizza'))['groupid']}"
    added = answered(api("sms/addcontact", smsgroup=group_id, phone="+123456789"))
    listed = answered(api("sms/userlist", smsgroup=group_id))
    assert (listed["group_name"], listed["amount_of_contacts"]) == ("Pizza", "1")
    assert listed["contact"] == [
        {
            "ID": added["contact_id"],
            "phone": "123456789",
            "first_name": "",
            "last_name": "",
            "unsubscribed": "0",
        }
    ]


def test_nothing_is_idempotent(sandbox: Sandbox, api: Api) -> None:
    for _ in range(3):
        api("email/addgroup", group_name="Twice", headers={"Idempotency-Key": "one"})
    for _ in range(2):
        api("email/addcontact", emailgroup="gro_119251", email="a@example.com")
    assert answered(api("email/userlist", emailgroup="gro_119251"))["amount_of_contacts"] == "2"
    counts = sandbox.state()["counts"]
    assert (counts["groups"], counts["surplus_groups"]) == (3, 2)
    assert (counts["contacts"], counts["surplus_contacts"]) == (2, 1)


@pytest.mark.parametrize("count", [999, 1000, 1001, 250_000])
def test_generated_listings_are_complete_whatever_their_length(
    sandbox: Sandbox, api: Api, count: int
) -> None:
    sandbox.add_groups("sms", group_id="gro_1", name="Big", contacts=[{"phone": "+4479"}])
    assert sandbox.add_contacts("sms", "gro_1", count=count)["amount_of_contacts"] == count + 1
    document = answered(api("sms/userlist", smsgroup="gro_1"))
    assert document["amount_of_contacts"] == str(count + 1)
    assert len({row["ID"] for row in document["contact"]}) == count + 1
    assert len({row["phone"] for row in document["contact"]}) == count + 1


def test_generated_groups_are_listed_in_full(sandbox: Sandbox, api: Api) -> None:
    assert sandbox.add_groups("email", name="Store", count=3000)["count"] == 3000
    document = answered(api("email/grouplist"))
    assert (document["amount_of_groups"], len(document["group"])) == (3000, 3000)
    assert document["group"][-1]["name"] == "Store 3000"


def test_an_unknown_path_and_a_wrong_method_are_told_apart(sandbox: Sandbox) -> None:
    with httpx.Client(base_url=sandbox.url) as client:
        assert client.post("/v3/smstool/nothing").status_code == 404
        assert client.get("/v3/smstool/grouplist").status_code == 405
