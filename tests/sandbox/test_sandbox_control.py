"""The control API: the request log, the counts, seeding, settings and what it refuses."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from coupontools import ENDPOINTS
from sandbox import Sandbox, SandboxControlError

Api = Callable[..., httpx.Response]


def test_the_log_tells_what_came_and_what_was_answered(sandbox: Sandbox, api: Api) -> None:
    before = time.monotonic(), datetime.now(UTC)
    headers = {"Idempotency-Key": "key-1", "User-Agent": "tester/1", "traceparent": "00-abc-def-01"}
    api("email/addgroup", headers=headers, group_name="Pizza")
    api("email/addgroup")
    after = time.monotonic(), datetime.now(UTC)
    first, second = sandbox.requests()
    assert before[0] <= first.pop("monotonic") <= first.pop("carried_out_at") <= after[0]
    assert before[1] <= datetime.fromisoformat(first.pop("time")) <= after[1]
    assert first == {
        "number": 1,
        "endpoint": "email/addgroup",
        "fault": None,
        "status": 200,
        "codes": [],
        "carried_out": True,
        "created": "gro_119251",
        "idempotency_key": "key-1",
        "user_agent": "tester/1",
        "traceparent": "00-abc-def-01",
        "body": {"group_name": "Pizza"},
    }
    assert (second["status"], second["codes"], second["carried_out"]) == (422, [200], False)
    assert (second["idempotency_key"], second["carried_out_at"]) == (None, None)
    assert [request["number"] for request in sandbox.requests(since=1)] == [2]


def test_the_log_is_read_page_by_page(sandbox: Sandbox, api: Api) -> None:
    for _ in range(5):
        api("sms/grouplist")
    seen, since = [], 0
    while True:
        query = {"since": since, "limit": 2}
        page = httpx.get(f"{sandbox.url}/_sandbox/requests", params=query).json()
        if not page["requests"]:
            break
        seen += [request["number"] for request in page["requests"]]
        since = page["next"]
    assert seen == [1, 2, 3, 4, 5]
    assert page["next"] == 5


def test_the_log_keeps_the_newest_and_the_counts_keep_all(sandbox: Sandbox, api: Api) -> None:
    sandbox.settings(log_limit=2)
    sandbox.reset()
    for _ in range(5):
        api("sms/grouplist")
    assert [request["number"] for request in sandbox.requests()] == [4, 5]
    assert sandbox.stats()["total"]["calls"] == 5


def test_stats_count_by_endpoint_and_find_the_busiest_second(sandbox: Sandbox, api: Api) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: api("sms/grouplist"), range(20)))
    api("email/addgroup")
    stats = sandbox.stats()
    times = [request["monotonic"] for request in sandbox.requests()]
    busiest = max(sum(begin <= at < begin + 1 for at in times) for begin in times)
    assert stats["total"]["max_calls_in_one_second"] == busiest
    assert (stats["total"]["calls"], stats["total"]["carried_out"]) == (21, 20)
    assert stats["endpoints"]["email/addgroup"] == {
        "calls": 1,
        "carried_out": 0,
        "faulted": 0,
        "max_calls_in_one_second": 1,
    }
    assert set(stats["endpoints"]) == {endpoint.name for endpoint in ENDPOINTS}


def test_latency_delays_the_answer_not_the_effect(sandbox: Sandbox, api: Api) -> None:
    sandbox.settings(latency_ms=200)
    assert api("sms/addgroup", group_name="A").elapsed.total_seconds() >= 0.2


def test_reset_forgets_everything_but_settings_unless_told(sandbox: Sandbox, api: Api) -> None:
    sandbox.settings(email_listing=True, latency_ms=1)
    sandbox.faults("slow", seconds=0)
    api("sms/addgroup", group_name="A")
    sandbox.issue_webhook("coupon_claimed")
    sandbox.reset()
    assert sandbox.state()["counts"] == {
        "groups": 0,
        "contacts": 0,
        "webhooks": 0,
        "surplus_groups": 0,
        "surplus_contacts": 0,
    }
    assert (sandbox.requests(), sandbox.installed_faults()) == ([], [])
    assert sandbox.settings()["email_listing"] is True
    assert api("sms/addgroup", group_name="A").json()["groupid"] == 119251
    sandbox.reset(settings=True)
    assert sandbox.settings()["email_listing"] is False


def test_ids_given_and_ids_counted_do_not_collide(sandbox: Sandbox, api: Api) -> None:
    sandbox.add_groups("sms", group_id="gro_119251")
    assert api("sms/addgroup", group_name="A").json()["groupid"] == 119252


@pytest.mark.parametrize(
    ("path", "fields", "sentence"),
    [
        ("groups", {"channel": "fax", "name": "A"}, "channel"),
        ("groups", {"channel": "sms", "count": 2, "group_id": "gro_1"}, "count makes groups"),
        ("groups", {"channel": "sms", "group_id": "gro_taken"}, "exists already"),
        ("groups", {"channel": "sms", "group_id": "gro 1"}, "group_id"),
        (
            "contacts",
            {"channel": "sms", "group_id": "gro_none", "count": 1},
            "there is no sms group gro_none",
        ),
        ("contacts", {"channel": "sms", "group_id": "gro_taken"}, "give contacts, count or both"),
        (
            "contacts",
            {"channel": "sms", "group_id": "gro_taken", "contacts": [{"name": "A"}]},
            "contacts.0.name",
        ),
        ("settings", {"latency_ms": -1}, "latency_ms"),
        ("settings", {"envelope_status": "500"}, "envelope_status"),
        ("settings", {"colour": "red"}, "colour"),
        ("reset", {"settings": "yes"}, "settings"),
    ],
)
def test_bad_input_is_answered_with_a_sentence(
    sandbox: Sandbox, path: str, fields: dict[str, Any], sentence: str
) -> None:
    sandbox.add_groups("sms", group_id="gro_taken")
    response = httpx.post(f"{sandbox.url}/_sandbox/{path}", json=fields)
    assert response.status_code == 400
    assert sentence in response.json()["error"]
    assert sandbox.state()["counts"]["contacts"] == 0


@pytest.mark.parametrize("body", [b"{", b"[]", b'"a"'])
def test_control_input_must_be_an_object(sandbox: Sandbox, body: bytes) -> None:
    response = httpx.post(f"{sandbox.url}/_sandbox/faults", content=body)
    assert response.status_code == 400
    assert "body" in response.json()["error"]


def test_a_wrong_query_is_refused(sandbox: Sandbox) -> None:
    for since in ("then", 10**30):
        response = httpx.get(f"{sandbox.url}/_sandbox/requests", params={"since": since})
        assert (response.status_code, "since" in response.json()["error"]) == (400, True)


def test_contacts_are_seeded_as_they_come(sandbox: Sandbox) -> None:
    sandbox.add_groups("email", group_id="gro_1", contacts=[{"email": "a@example.com"}])
    odd = {
        "phone": "+1",
        "email": "no address",
        "unsubscribed": True,
        "unsubscribedate": "01/02/2020 00:00 UTC",
    }
    seeded = sandbox.add_contacts("email", "gro_1", contacts=[odd])
    assert seeded["amount_of_contacts"] == 2
    second = sandbox.state()["contacts"][1]
    assert (second["contact_id"], second["phone"]) == (seeded["contact_ids"][0], "1")
    assert second["unsubscribedate"] == "01/02/2020 00:00 UTC"


def test_a_control_error_carries_the_sentence(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxControlError, match="there is no email group gro_9"):
        sandbox.add_contacts("email", "gro_9", count=1)
