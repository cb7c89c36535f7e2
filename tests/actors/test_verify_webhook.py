"""Webhooks that can be trusted: every family verified, every forgery rejected, nothing claimed that was not checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.harness import House, message, wait_for

EXAMPLES = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parents[2] / "sandbox/examples").glob("*.json"))
}
#: The fields that can be compared with the API's answer, besides id, type and datetime.
COMPARED = {
    "coupon": {"campaign", "session", "coupon_code"},
    "coupon_edit": {"coupon"},
    "subaccount": set(),
    "loyalty": {"statcode"},
    "loyalty_v3": set(),
    "landing_page": {"target_coupon", "target_statcode"},
}


def forged(body: dict[str, Any], field: str) -> dict[str, Any]:
    """Return the body with one field changed."""
    other = {"datetime": "2001-01-01 00:00:00", "type": "coupon_forged"}
    return {**body, field: other.get(field, f"{body[field]}x")}


def test_every_family_verified_and_every_forgery_rejected(house: House) -> None:
    house.worker()
    genuine, forgeries = {}, {}
    for family, fields in COMPARED.items():
        body = house.sandbox.issue_webhook(EXAMPLES[family]["type"])
        genuine[house.enqueue("verify_webhook", payload=body)] = (family, body)
        for field in {"type", "datetime"} | fields:
            changed = forged(body, field)
            forgeries[house.enqueue("verify_webhook", payload=changed)] = (changed, field, body)
        stolen = {**body, "id": f"{body['id'][:-1]}?".replace("?", "Z" if body["id"][-1] != "Z" else "Y")}
        forgeries[house.enqueue("verify_webhook", payload=stolen)] = (stolen, None, body)
    answers = house.wait_answered([*genuine, *forgeries], seconds=60)

    for message_id, (family, body) in genuine.items():
        (event,) = answers[message_id]
        assert event["type"] == "coupontools.webhook.verified", event
        assert event["subject"] == body["id"]
        data = event["data"]
        assert data["payload"] == body
        assert set(data["checked"]) == {"id", "type", "datetime"} | COMPARED[family]
        assert (data["webhook_id"], data["webhook_type"]) == (body["id"], body["type"])
        assert data["datetime"] == body["datetime"]
    for message_id, (changed, field, body) in forgeries.items():
        (event,) = answers[message_id]
        assert event["type"] == "coupontools.webhook.rejected", (field, event)
        if field is None:
            assert event["data"]["reason"] == "not_found"
            assert event["data"]["mismatches"] == []
        else:
            assert event["data"]["reason"] == "mismatch"
            assert event["data"]["mismatches"] == [
                {"field": field, "received": changed[field], "expected": body[field]}
            ]


def test_the_documents_examples_are_unknown_until_they_were_issued(house: House) -> None:
    house.worker()
    sent = {family: house.enqueue("verify_webhook", payload=body) for family, body in EXAMPLES.items()}
    answers = house.wait_answered(list(sent.values()))
    for family, message_id in sent.items():
        (event,) = answers[message_id]
        assert event["type"] == "coupontools.webhook.rejected"
        reason = "unverifiable" if family == "directory_page" else "not_found"
        assert event["data"]["reason"] == reason
        assert event["data"]["webhook_id"] == EXAMPLES[family]["id"]


def test_the_older_answer_and_an_id_alone(house: House) -> None:
    house.worker()
    old = house.sandbox.issue_webhook("coupon_claimed", answer="old")
    alone = house.sandbox.issue_webhook("coupon_claimed")
    first = house.answer(house.enqueue("verify_webhook", payload=old))
    assert first["type"] == "coupontools.webhook.verified"
    assert {"campaign", "session"} <= set(first["data"]["checked"])
    second = house.answer(house.enqueue("verify_webhook", webhook_id=alone["id"]))
    assert second["type"] == "coupontools.webhook.verified"
    assert second["data"]["payload"] is None
    assert second["data"]["checked"] == []
    assert second["data"]["campaign"] == alone["campaign"]


def test_delivered_again_is_replayed_and_changed_is_compared(house: House) -> None:
    house.worker()
    body = house.sandbox.issue_webhook("coupon_claimed")
    first = house.answer(house.enqueue("verify_webhook", payload=body))
    again = house.answer(house.enqueue("verify_webhook", payload=body))
    changed = house.answer(house.enqueue("verify_webhook", payload=forged(body, "campaign")))
    assert not first["data"]["replayed"]
    assert again["data"] == {**first["data"], "replayed": True, "attempts": 0}
    assert changed["type"] == "coupontools.webhook.rejected"
    # One call: the changed body was compared with the API's answer to the first job.
    assert house.sandbox.stats()["endpoints"]["webhook/verification"]["calls"] == 1


def nested(depth: int) -> str:
    """A JSON array in an array, and so on."""
    return "[" * depth + "]" * depth


def test_bodies_that_are_none_harm_nobody(house: House) -> None:
    worker = house.worker()
    good = house.sandbox.issue_webhook("coupon_claimed")
    bodies: list[Any] = [
        [],
        "text",
        7,
        None,
        {},
        {"id": 922},
        {"id": None},
        {"id": ""},
        {"id": "evt_A", "x": "y" * 500_000},
    ]
    invalid = [house.enqueue("verify_webhook", {"payload": body}) for body in bodies]
    # Nested 100 deep it can be read, 10,000 deep it cannot.
    for depth in (100, 10_000):
        queue, redis_id, deep = message("verify_webhook", {"payload": {"id": "evt_A", "x": "DEEP"}})
        house.push(queue, redis_id, json.dumps(deep).replace('"DEEP"', nested(depth)))
        if depth == 100:
            invalid.append(deep["message_id"])
        else:
            unreadable = redis_id
    neighbour = house.enqueue("verify_webhook", payload=good)
    assert house.answer(neighbour)["type"] == "coupontools.webhook.verified"
    answers = house.wait_answered(invalid)
    for message_id in invalid:
        (event,) = answers[message_id]
        assert event["type"] == "coupontools.webhook.failed", event
        assert event["data"]["error"]["kind"] == "invalid"
        assert event["data"]["error"]["details"][0]["field"].startswith("payload")
    wait_for(lambda: house.tally()["message.rejected"] == 1)
    (rejected,) = [event for event in house.events() if event["type"] == "coupontools.message.rejected"]
    assert rejected["id"] == f"webhooks/{unreadable}"
    assert len(rejected["data"]["raw"]) == 1000
    assert house.redis.zcard("dramatiq:webhooks.XQ") == len(invalid) + 1
    assert not worker.log_lines("worker.died")
