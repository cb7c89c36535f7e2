"""Every line parses, and no marked personal data and no secret is in any of them, on every path at debug level."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
import time
from importlib.metadata import version

from tests.harness import House, message, wait_for
from tests.workers.test_docs_monitoring import documented_lines

#: A minute under `make long`; a few seconds in the normal suite.
SECONDS = 5.0 * float(os.environ["CHAOS_SCALE"]) if "CHAOS_SCALE" in os.environ else 3.0
SECRET = "s3cr3t-Zyx987-do-not-show"
#: Marks of personal data: digits, names and addresses that occur nowhere else.
FIRST, LAST, CITY = "Zebulonia", "Quxworthy", "Markedville"


def phone(number: int) -> str:
    """A marked phone."""
    return f"+32997718855{number:04d}"


def email(number: int) -> str:
    """A marked address."""
    return f"zebulonia.{number}@markedmail.example"


def test_no_line_shows_a_secret_or_a_person(house: House) -> None:
    house.sandbox.settings(client_secret=SECRET)
    sms, mail = house.new_group("sms"), house.new_group("email")
    worker = house.worker(
        LOG_LEVEL="DEBUG",
        COUPONTOOLS_CLIENT_SECRET=SECRET,
        WORKER_PROCESSES=2,
        WORKER_HEARTBEAT_SECONDS=1,
        COUPONTOOLS_TIMEOUT_SECONDS=1,
        PYTHONASYNCIODEBUG="1",
    )
    for kind in ("close_after", "cut_off", "bad_gateway", "hang_before", "html", "rate_limited"):
        house.sandbox.faults(kind, probability=0.04)
    house.sandbox.faults(
        "envelope",
        code=514,
        message=f"Group of {phone(1)} {email(1)} not found",
        probability=0.03,
    )
    # A job's own values are masked in any text. Values of other jobs cannot be known, so only jobs that have these values get this text.
    house.sandbox.faults(
        "envelope",
        endpoint="sms/addcontact",
        code=514,
        message=f"{FIRST.upper()} {LAST} ({CITY}) not found",
        probability=0.05,
    )
    body = house.sandbox.issue_webhook(
        "coupon_claimed", fields={"customer": {"first_name": FIRST, "city": CITY, "phone": phone(2)[1:]}}
    )
    began, number, ids = time.monotonic(), 0, []
    killed = False
    while time.monotonic() - began < SECONDS or number < 40:
        number += 1
        person = {"first_name": FIRST, "last_name": LAST, "custom_fields": {"1": CITY}}
        ids.append(
            house.enqueue(
                "add_contact", {"channel": "sms", "group_id": sms, "phone": phone(number), **person}
            )
        )
        ids.append(
            house.enqueue(
                "add_contact",
                {"channel": "email", "group_id": mail, "email": email(number), "deadline_seconds": 4},
            )
        )
        ids.append(
            house.enqueue(
                "add_contact",
                {"channel": "sms", "group_id": sms, "phone": phone(number) * 2, "surprise": FIRST},
            )
        )
        ids.append(house.enqueue("verify_webhook", {"payload": {**body, "n": number}}))
        if number % 20 == 1:
            house.enqueue("list_contacts", channel="sms", group_id=sms, idempotency_key=f"k{number}")
            queue, redis_id, raw = message(
                "add_contact", {"phone": phone(number), "first_name": FIRST}, surprise=email(number)
            )
            house.push(queue, redis_id, json.dumps(raw))
            house.push(queue, f"x{number}", f"{phone(number)} {email(number)} {FIRST} is no JSON")
        if not killed and number > 20:
            killed = True
            os.kill(worker.children()[0], signal.SIGKILL)
        wait_for(lambda: house.redis.llen("dramatiq:contacts") < 200)
    house.wait_answered(ids, seconds=90)
    assert worker.terminate() == 0

    text = worker.log_text
    lines = [json.loads(line) for line in text.splitlines()]
    sys.stdout.write(f"\n{len(lines)} lines at debug level, {len(ids)} jobs\n")
    assert len(lines) > len(ids)
    for line in lines:
        assert {"timestamp", "level", "event", "logger"} <= line.keys(), line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])
    shown = [
        mark for mark in (SECRET, FIRST, LAST, CITY, "markedmail", "997718855", "zebulonia") if mark in text
    ]
    assert not shown, [line for line in text.splitlines() if shown[0] in line][:3]
    documented = documented_lines()
    for line in lines:
        if line["event"] in documented:
            of_every_line = {"timestamp", "level", "event", "logger", "worker", "exception"}
            assert line.keys() <= documented[line["event"]] | of_every_line, line
    loggers = {line["logger"].split(".")[0] for line in lines}
    assert {"delivery", "workers", "dramatiq"} <= loggers
    finished = [line for line in lines if line["event"] == "job.finished"]
    assert {"succeeded", "failed", "retrying"} <= {line["outcome"] for line in finished}
    for line in finished:
        assert {
            "job",
            "queue",
            "message_id",
            "idempotency_key",
            "correlation_id",
            "attempt",
            "queue_ms",
            "api_ms",
            "total_ms",
            "api_calls",
            "worker",
        } <= line.keys()
    started = [line for line in lines if line["event"] == "worker.started"]
    assert {line["worker"] for line in finished} <= {line["worker"] for line in started}
    for line in started:
        assert (line["version"], line["base_url"]) == (version("coupontools-worker"), house.sandbox.url)
    # A key of one's own is a digest, a derived one is as the events tell it.
    keys = {line["idempotency_key"] for line in finished if line["job"] == "list_contacts"}
    # Not one certain line: the process that was killed may have answered a job whose line it had not written yet.
    given = {hashlib.sha256(f"k{n}".encode()).hexdigest()[:32] for n in range(1, number + 1, 20)}
    assert keys
    assert keys <= given
    added = [line["idempotency_key"] for line in finished if line["job"] == "add_contact"]
    assert all(key.startswith("derived:") for key in added if key)
