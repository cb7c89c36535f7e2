"""The five jobs against a server that knows only the vendor's document, and answers with its examples to the letter."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from tests.harness import House

SMS_GROUPS = """{
	"status": {"status": "OK"},
	"amount_of_groups": 2,
	"group": [
		{"ID": "gro_123456", "name": "Subscribers keyword pizza"},
		{"ID": "gro_1243434", "name": "Subscribers keyword burger"}
	]
}"""
SMS_CONTACTS = """{
	"status": {"status": "OK"},
	"group_id": "gro_123456",
	"group_name": "Subscribers to keyword pizza",
	"amount_of_contacts": "2",
	"contact": [
		{
			"ID": "con_123456", "phone": "123456789012", "first_name": "John", "last_name": "Doe",
			"unsubscribed": "1", "unsubscribedate": "13/07/2018 19:47 UTC"
		},
		{"ID": "con_1234567", "phone": "441234567890", "first_name": "Jeff", "last_name": "Jefferson", "unsubscribed": "0"}
	]
}"""
EMAIL_CONTACTS = SMS_CONTACTS.replace(
    '"unsubscribed": "1", "unsubscribedate": "13/07/2018 19:47 UTC"', '"unsubscribed": "1"'
).replace("Subscribers to keyword pizza", "Subscribers to pizza coupon")
ADDED = """{
	"status": {"status": "OK"}, "group_id": "gro_123456", "%s": "%s",
	"first_name": "Bill", "last_name": "Jackson", "result": "saved_successfully", "contact_id": "con_12345678"
}"""
#: The document's example answers by path.
EXAMPLES = {
    "/v3/smstool/grouplist": SMS_GROUPS,
    "/v3/smstool/userlist": SMS_CONTACTS,
    "/v3/smstool/addgroup": '{"status": {"status": "OK"}, "result": "saved_successfully", "groupid": 119251}',
    "/v3/smstool/addcontact": ADDED % ("phone", "1234566778899"),
    "/v3/emailtool/grouplist": SMS_GROUPS,
    "/v3/emailtool/userlist": EMAIL_CONTACTS,
    "/v3/emailtool/addgroup": '{"status": {"status": "OK"}, "result": "saved_successfully", "group_id": "gro_119251"}',
    "/v3/emailtool/addcontact": ADDED % ("email", "test@test.com"),
    "/v4/webhook/verification": """{
	"status": {"status": "OK"}, "webhook": "evt_01234567890123456789", "datetime": "2020-12-01 01:23:45",
	"type": "coupon_claimed", "coupon": "cam_12345", "statcode": "012345678901234567890"
}""",
}


class VendorApi(BaseHTTPRequestHandler):
    """Answers each path's example, and notes what it was sent."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[tuple[str, dict[str, Any], dict[str, str]]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, json.loads(body), dict(self.headers)))
        answer = EXAMPLES[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Says nothing."""


@pytest.fixture
def vendor() -> Iterator[str]:
    VendorApi.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), VendorApi)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_every_job_is_answered_from_the_documents_examples(house: House, vendor: str) -> None:
    house.worker(
        COUPONTOOLS_BASE_URL=vendor, COUPONTOOLS_CLIENT_ID="client-7", COUPONTOOLS_CLIENT_SECRET="made-up-7"
    )
    rows = [
        {
            "contact_id": "con_123456",
            "phone": "+123456789012",
            "email": None,
            "first_name": "John",
            "last_name": "Doe",
            "unsubscribed": True,
            "unsubscribed_at": "2018-07-13T19:47:00Z",
        },
        {
            "contact_id": "con_1234567",
            "phone": "+441234567890",
            "email": None,
            "first_name": "Jeff",
            "last_name": "Jefferson",
            "unsubscribed": False,
            "unsubscribed_at": None,
        },
    ]
    groups = [
        {"group_id": "gro_123456", "name": "Subscribers keyword pizza"},
        {"group_id": "gro_1243434", "name": "Subscribers keyword burger"},
    ]
    person = {"first_name": "Bill", "last_name": "Jackson"}
    contact = {"group_id": "gro_123456", **person}
    added = {**contact, "contact_id": "con_12345678"}
    jobs: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
        ("list_groups", {"channel": "sms"}, "groups.listed", {"total": 2, "groups": groups}),
        ("list_groups", {"channel": "email"}, "groups.listed", {"total": 2, "groups": groups}),
        (
            "list_contacts",
            {"channel": "sms", "group_id": "gro_123456"},
            "contacts.listed",
            {"group_name": "Subscribers to keyword pizza", "total": 2, "contacts": rows},
        ),
        (
            "list_contacts",
            {"channel": "email", "group_id": "gro_123456"},
            "contacts.listed",
            {
                "group_name": "Subscribers to pizza coupon",
                "contacts": [{**rows[0], "unsubscribed_at": None}, rows[1]],
            },
        ),
        # A bare number for SMS, text for email: always handed on as gro_119251.
        (
            "create_group",
            {"channel": "sms", "name": "Example"},
            "group.created",
            {"group_id": "gro_119251", "name": "Example"},
        ),
        (
            "create_group",
            {"channel": "email", "name": "Example"},
            "group.created",
            {"group_id": "gro_119251"},
        ),
        (
            "add_contact",
            {"channel": "sms", "phone": "+1234566778899", **contact},
            "contact.added",
            {"phone": "+1234566778899", **added},
        ),
        (
            "add_contact",
            {"channel": "email", "email": "test@test.com", **contact},
            "contact.added",
            {"email": "test@test.com", **added},
        ),
        (
            "verify_webhook",
            {
                "payload": {
                    "id": "evt_01234567890123456789",
                    "datetime": "2020-12-01 01:23:45",
                    "type": "coupon_claimed",
                    "campaign": "cam_12345",
                    "session": "012345678901234567890",
                }
            },
            "webhook.verified",
            {"checked": ["id", "type", "datetime", "campaign", "session"], "campaign": "cam_12345"},
        ),
        (
            "verify_webhook",
            {"payload": {"id": "evt_01234567890123456789", "type": "coupon_validated"}},
            "webhook.rejected",
            {
                "mismatches": [
                    {"field": "type", "received": "coupon_validated", "expected": "coupon_claimed"},
                    {"field": "datetime", "received": None, "expected": "2020-12-01 01:23:45"},
                ]
            },
        ),
    ]
    asked = [(house.enqueue(actor, arguments), kind, data) for actor, arguments, kind, data in jobs]
    for message_id, kind, data in asked:
        event = house.answer(message_id)
        assert event["type"] == f"coupontools.{kind}", event
        assert {name: event["data"][name] for name in data} == data

    assert {path for path, _, _ in VendorApi.seen} == set(EXAMPLES)
    for path, body, headers in VendorApi.seen:
        assert headers["X-Client-Id"] == "client-7"
        assert headers["X-Client-Secret"] == "made-up-7"
        assert headers["Content-Type"] == "application/json"
        assert headers["Idempotency-Key"], path
        assert headers["User-Agent"].startswith("coupontools-worker"), path
        if path == "/v3/smstool/addcontact":
            assert body == {"smsgroup": "gro_123456", "phone": "+1234566778899", **person}
        if path == "/v3/emailtool/addcontact":
            assert body == {"emailgroup": "gro_123456", "email": "test@test.com", **person}
        if path.endswith("/addgroup"):
            assert body == {"group_name": "Example"}
