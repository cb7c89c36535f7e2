"""The five jobs, enqueued with nothing but HSET and RPUSH, and what they are answered with."""

from __future__ import annotations

from tests.harness import House
from tests.harness.envelopes import NO_CALL, ONE_CALL, check_event


def test_every_job_on_both_channels_is_answered_with_its_exact_event(house: House) -> None:
    house.worker()
    for channel in ("sms", "email"):
        correlated = {"channel": channel, "correlation_id": f"order 7 {channel}"}

        made = house.enqueue(
            "create_group", {"name": " Crème brûlée ", "idempotency_key": "g-1 " + channel, **correlated}
        )
        event = house.answer(made)
        group_id = event["data"]["group_id"]
        check_event(
            event,
            "group.created",
            event_id=made,
            subject=group_id,
            key="g-1 " + channel,
            correlation_id=f"order 7 {channel}",
            data={"channel": channel, "group_id": group_id, "name": "Crème brûlée", **ONE_CALL},
        )
        assert [g["group_id"] for g in house.sandbox.state()["groups"] if g["channel"] == channel] == [
            group_id
        ]

        address = (
            {"phone": "+32 (0)470-12.34.56".replace("(0)", "")}
            if channel == "sms"
            else {"email": "Zoe@Example.com"}
        )
        plain = {"phone": "+32470123456"} if channel == "sms" else {"email": "Zoe@example.com"}
        person = {"first_name": "Zoë Ünal 王", "last_name": "O'Neil"}
        added = house.enqueue(
            "add_contact",
            {"group_id": group_id, **address, **person, "custom_fields": {"1": "gold"}, **correlated},
        )
        event = house.answer(added)
        contact_id = event["data"]["contact_id"]
        check_event(
            event,
            "contact.added",
            event_id=added,
            subject=contact_id,
            correlation_id=f"order 7 {channel}",
            data={
                "channel": channel,
                "group_id": group_id,
                "contact_id": contact_id,
                **plain,
                **person,
                **ONE_CALL,
            },
        )
        (held,) = [c for c in house.sandbox.state()["contacts"] if c["channel"] == channel]
        assert (held["contact_id"], held["first_name"]) == (contact_id, "Zoë Ünal 王")
        assert list(held["custom"].values()) == ["gold"]

        groups = house.enqueue("list_groups", correlated)
        check_event(
            house.answer(groups),
            "groups.listed",
            event_id=f"{groups}/1",
            keyless=True,
            correlation_id=f"order 7 {channel}",
            data={
                "channel": channel,
                "page": 1,
                "pages": 1,
                "total": 1,
                "complete": True,
                "groups": [{"group_id": group_id, "name": "Crème brûlée"}],
                **ONE_CALL,
            },
        )

        contacts = house.enqueue("list_contacts", {"group_id": group_id, **correlated})
        check_event(
            house.answer(contacts),
            "contacts.listed",
            event_id=f"{contacts}/1",
            keyless=True,
            subject=group_id,
            correlation_id=f"order 7 {channel}",
            data={
                "channel": channel,
                "group_id": group_id,
                "group_name": "Crème brûlée",
                "page": 1,
                "pages": 1,
                "total": 1,
                "complete": True,
                "contacts": [
                    {
                        "contact_id": contact_id,
                        "phone": "+32470123456" if channel == "sms" else None,
                        "email": None,
                        **person,
                        "unsubscribed": False,
                        "unsubscribed_at": None,
                    }
                ],
                **ONE_CALL,
            },
        )

    webhook = house.sandbox.issue_webhook("coupon_claimed")
    verified = house.enqueue("verify_webhook", {"payload": webhook, "correlation_id": "hook"})
    check_event(
        house.answer(verified),
        "webhook.verified",
        event_id=verified,
        subject=webhook["id"],
        correlation_id="hook",
        data={
            "webhook_id": webhook["id"],
            "webhook_type": "coupon_claimed",
            "datetime": webhook["datetime"],
            "campaign": webhook["campaign"],
            "session": webhook["session"],
            "payload": webhook,
            "checked": ["id", "type", "datetime", "campaign", "session", "coupon_code"],
            **ONE_CALL,
        },
    )
    assert house.counts()["surplus_contacts"] == house.counts()["surplus_groups"] == 0
    for queue in ("contacts", "groups", "webhooks", "reads"):
        assert house.redis.hlen(f"dramatiq:{queue}.msgs") == 0


def test_forged_unknown_and_unverifiable_webhooks_are_rejected(house: House) -> None:
    house.worker()
    genuine = house.sandbox.issue_webhook("coupon_validated")
    directory = house.sandbox.issue_webhook("directory_registration")
    forged = house.enqueue("verify_webhook", payload={**genuine, "session": "stolen"})
    unknown = house.enqueue("verify_webhook", webhook_id="evt_01234567890123456789")
    bare = house.enqueue("verify_webhook", payload=directory)
    known = house.enqueue("verify_webhook", webhook_id=genuine["id"])
    check_event(
        house.answer(forged),
        "webhook.rejected",
        event_id=forged,
        subject=genuine["id"],
        data={
            "webhook_id": genuine["id"],
            "reason": "mismatch",
            "mismatches": [{"field": "session", "received": "stolen", "expected": genuine["session"]}],
            **ONE_CALL,
        },
    )
    check_event(
        house.answer(unknown),
        "webhook.rejected",
        event_id=unknown,
        subject="evt_01234567890123456789",
        data={"webhook_id": "evt_01234567890123456789", "reason": "not_found", "mismatches": [], **ONE_CALL},
    )
    check_event(
        house.answer(bare),
        "webhook.rejected",
        event_id=bare,
        subject=directory["id"],
        data={"webhook_id": directory["id"], "reason": "unverifiable", "mismatches": [], **NO_CALL},
    )
    # An id alone proves that it exists, and no more is claimed.
    assert house.answer(known)["data"]["checked"] == []
    assert house.answer(known)["data"]["payload"] is None


def test_phones_go_out_with_a_plus_and_come_back_with_one(house: House) -> None:
    house.worker()
    group_id = house.new_group()
    spelled = ["+32 470 12 34 56", "+44-7911-123457", "+1 (202) 555.0143"]
    answers = house.wait_answered(
        [
            house.enqueue("add_contact", channel="sms", group_id=group_id, phone=phone, first_name="Łucja")
            for phone in spelled
        ]
    )
    numbers = {"+32470123456", "+447911123457", "+12025550143"}
    assert {event["data"]["phone"] for (event,) in answers.values()} == numbers
    bodies = [call["body"] for call in house.sandbox.requests() if call["endpoint"] == "sms/addcontact"]
    assert {body["phone"] for body in bodies} == numbers
    assert {body["first_name"] for body in bodies} == {"Łucja"}
    # The API keeps them without the plus (vendor's document, "List contacts"); the event has it again.
    assert {c["phone"] for c in house.sandbox.state()["contacts"]} == {n.removeprefix("+") for n in numbers}
    listed = house.answer(house.enqueue("list_contacts", channel="sms", group_id=group_id))
    assert {c["phone"] for c in listed["data"]["contacts"]} == numbers
    assert {c["first_name"] for c in listed["data"]["contacts"]} == {"Łucja"}


def test_long_listings_come_in_pages(house: House) -> None:
    house.worker()
    group_id = house.new_group("email")
    house.sandbox.add_contacts("email", group_id, count=1001)
    house.sandbox.add_groups("sms", name="Many", count=500)
    asked = {"channel": "email", "group_id": group_id, "idempotency_key": "the long one"}
    contacts = house.enqueue("list_contacts", asked, correlation_id="long")
    groups = house.enqueue("list_groups", channel="sms")
    answers = house.wait_answered([contacts, groups])
    pages = answers[contacts]
    assert [event["id"] for event in pages] == [f"{contacts}/{page}" for page in (1, 2, 3)]
    for number, event in enumerate(pages, start=1):
        data = event["data"]
        check_event(
            event,
            "contacts.listed",
            event_id=f"{contacts}/{number}",
            subject=group_id,
            key="the long one",
            correlation_id="long",
            data={
                "channel": "email",
                "group_id": group_id,
                "group_name": "Pizza",
                "page": number,
                "pages": 3,
                "total": 1001,
                "complete": True,
                "contacts": data["contacts"],
                **ONE_CALL,
            },
        )
    assert [len(event["data"]["contacts"]) for event in pages] == [500, 500, 1]
    ids = [row["contact_id"] for event in pages for row in event["data"]["contacts"]]
    assert len(set(ids)) == 1001
    (only,) = answers[groups]
    assert (only["id"], only["data"]["pages"], len(only["data"]["groups"])) == (f"{groups}/1", 1, 500)

    again = house.enqueue("list_contacts", asked)
    replayed = house.wait_answered([again])[again]
    assert [event["data"]["contacts"] for event in replayed] == [event["data"]["contacts"] for event in pages]
    assert all(event["data"]["replayed"] for event in replayed)
