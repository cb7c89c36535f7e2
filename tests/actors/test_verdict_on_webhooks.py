"""What an answer to the verification proves, through a real socket: nothing is verified that the API has not confirmed."""

from __future__ import annotations

from typing import Any

import pytest

from actors.verify_webhook import VerifyWebhook
from coupontools import Call
from delivery import Outcome

OK = {"status": {"status": "OK"}}
BODY = {
    "id": "evt_known",
    "type": "coupon_claimed",
    "datetime": "2022-01-14 10:40:38",
    "campaign": "cam_12345",
    "session": "2e8g45wmyawppwubnk5r7",
}
RECORD = {
    "webhook": "evt_known",
    "type": BODY["type"],
    "datetime": BODY["datetime"],
    "coupon": BODY["campaign"],
    "statcode": BODY["session"],
}
#: Answers that are OK and say nothing about the webhook.
SAY_NOTHING: list[dict[str, Any]] = [
    {"error": "Webhook not found"},
    {"message": "no result"},
    {"webhook": ""},
    {"webhook": None, "type": "", "datetime": None},
    {"data": [RECORD]},
    {"data": "none"},
    {"data": {"message": "no result"}},
    {"data": RECORD, "others": RECORD},
]


async def verified(wire: Any, connect: Any, answer: dict[str, Any], **arguments: Any) -> Outcome:
    api = connect(await wire.answer(wire.http(200, {**OK, **answer})))
    return await VerifyWebhook.model_validate(arguments).call(api, Call())


@pytest.mark.parametrize("answer", [RECORD, {"data": RECORD}], ids=["plain", "in_data"])
async def test_an_agreeing_record(wire: Any, connect: Any, answer: dict[str, Any]) -> None:
    told = await verified(wire, connect, answer, payload=BODY)
    assert (told.event, told.data["checked"]) == ("webhook.verified", list(BODY))
    told = await verified(wire, connect, answer, webhook_id="evt_known")
    assert (told.event, told.data["checked"]) == ("webhook.verified", [])
    assert (told.data["webhook_type"], told.data["payload"]) == (BODY["type"], None)


@pytest.mark.parametrize("answer", SAY_NOTHING)
@pytest.mark.parametrize("asked", [{"payload": BODY}, {"webhook_id": "evt_known"}], ids=["body", "id"])
async def test_an_answer_that_says_nothing_verifies_nothing(
    wire: Any, connect: Any, answer: dict[str, Any], asked: dict[str, Any]
) -> None:
    told = await verified(wire, connect, answer, **asked)
    assert (told.event, told.data["reason"]) == ("webhook.rejected", "unverifiable")
    assert not told.remembered


async def test_an_id_alone_is_verified_by_an_answer_that_names_it(wire: Any, connect: Any) -> None:
    nameless = {name: value for name, value in RECORD.items() if name != "webhook"}
    told = await verified(wire, connect, nameless, webhook_id="evt_known")
    assert (told.event, told.data["reason"]) == ("webhook.rejected", "unverifiable")
    told = await verified(wire, connect, nameless, payload=BODY)
    assert told.event == "webhook.verified"


async def test_an_answer_that_repeats_the_id_alone_proves_no_body(wire: Any, connect: Any) -> None:
    for payload in (BODY, {"id": "evt_known"}):
        told = await verified(wire, connect, {"webhook": "evt_known"}, payload=payload)
        assert (told.event, told.data["reason"]) == ("webhook.rejected", "unverifiable")
    told = await verified(wire, connect, {"webhook": "evt_known"}, webhook_id="evt_known")
    assert (told.event, told.data["checked"]) == ("webhook.verified", [])


async def test_a_moment_that_is_no_text_is_not_told(wire: Any, connect: Any) -> None:
    record = {name: value for name, value in RECORD.items() if name != "datetime"}
    told = await verified(wire, connect, record, payload={**BODY, "datetime": 1642156838})
    assert (told.event, told.data["datetime"]) == ("webhook.verified", None)


async def test_a_body_that_leaves_out_what_every_webhook_carries_is_forged(wire: Any, connect: Any) -> None:
    told = await verified(wire, connect, RECORD, payload={"id": "evt_known"})
    assert (told.event, told.data["reason"]) == ("webhook.rejected", "mismatch")
    assert told.data["mismatches"] == [
        {"field": "type", "received": None, "expected": BODY["type"]},
        {"field": "datetime", "received": None, "expected": BODY["datetime"]},
    ]
