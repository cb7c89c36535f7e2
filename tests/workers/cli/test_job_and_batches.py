"""`job`, `cancel`, `batches` and an import as one batch: as an operator asks at three in the morning."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

from tests.harness import House, message, wait_for


def told(house: House, *arguments: str) -> dict[str, Any]:
    done = house.run("job", *arguments, "--json")
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return found


def contact(group_id: str, number: int, **more: Any) -> dict[str, Any]:
    return {"channel": "sms", "group_id": group_id, "phone": f"+3248{number:07d}", **more}


def test_a_job_in_each_of_its_states(house: House) -> None:
    group_id = house.new_group()
    waiting = house.enqueue("add_contact", contact(group_id, 1, correlation_id="order 1"))
    assert told(house, waiting)["state"] == "waiting"
    assert told(house, "--correlation-id", "order 1")["message_id"] == waiting
    queue, redis_id, body = message("add_contact", contact(group_id, 2))
    body["options"]["eta"] = round(time.time() * 1000) + 3_600_000
    house.redis.hset(f"dramatiq:{queue}.DQ.msgs", redis_id, json.dumps(body | {"queue_name": f"{queue}.DQ"}))
    house.redis.rpush(f"dramatiq:{queue}.DQ", redis_id)
    house.sandbox.faults("close_after", endpoint="email/addcontact")
    house.sandbox.faults("hang_before", endpoint="sms/addgroup", seconds=300)
    email = house.new_group("email", name="Mail")
    # Longer than the commands of a busy machine take: the call that hangs is to be seen in flight.
    house.worker(READ_BACK_AFTER_SECONDS=60, COUPONTOOLS_TIMEOUT_SECONDS=300)
    house.answer(waiting)
    answered = told(house, waiting)
    assert (answered["state"], answered["event"]["type"]) == ("answered", "coupontools.contact.added")
    key = answered["event"]["idempotencykey"]
    assert told(house, "--idempotency-key", key, "--actor", "add_contact")["message_id"] == waiting
    delayed = wait_for(
        lambda: (found := told(house, str(body["message_id"])))["state"] == "delayed" and found,
        what="delayed",
    )
    assert delayed["until"] > delayed["since"]
    lost = house.enqueue("add_contact", channel="email", group_id=email, email="ada@example.com")
    unknown = wait_for(
        lambda: (found := told(house, lost))["state"] == "unknown" and found,
        what="unknown",
        show=house.log_tail,
    )
    assert unknown["read_back_at"]
    assert unknown["attempts"] == 1
    running = house.enqueue("create_group", channel="sms", name="New")
    found = wait_for(lambda: (found := told(house, running))["state"] == "running" and found, what="running")
    assert found["worker"]
    dead = house.enqueue("add_contact", contact("no group", 3))
    house.answer(dead)
    assert (told(house, dead)["state"], told(house, dead)["event"]["id"]) == ("dead", dead)
    assert house.run("pause", "--scope", "sms", "--reason", "moving house").returncode == 0
    held = house.enqueue("add_contact", contact(group_id, 4))
    parked = wait_for(lambda: (found := told(house, held))["state"] == "held" and found, what="held")
    assert "moving house" in parked["reason"]
    missing = house.run("job", "nothing", "--json")
    assert missing.returncode == 1
    assert json.loads(missing.stdout)["state"] == "not_found"
    # What is in flight, lost or answered is told; what waits is cancelled.
    done = house.run("cancel", held, lost, waiting, dead, "nothing")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 4
    assert house.answer(held)["data"]["error"]["kind"] == "cancelled"


def test_an_import_is_a_batch(house: House, tmp_path: Path) -> None:
    group_id = house.new_group()
    rows = tmp_path / "people.csv"
    rows.write_text(
        "phone,first_name\n" + "".join(f"+3248{n:07d},Ada\n" for n in range(30)) + "+32470123456,=1+1\n"
    )
    house.sandbox.faults("envelope", code=301, endpoint="sms/addcontact", count=3)
    house.worker()
    done = house.run(
        "import", str(rows), "--channel", "sms", "--group-id", group_id, "--batch-id", "spring", "--json"
    )
    assert json.loads(done.stdout)["batch_id"] == "spring"
    wait_for(lambda: house.tally()["batch.finished"] == 1, what="batch.finished", show=house.log_tail)
    batch = json.loads(house.run("batches", "spring", "--json").stdout)
    assert (batch["total"], batch["answered"], batch["succeeded"], batch["failed"]) == (
        31,
        31,
        28,
        {"rejected": 3},
    )
    assert (batch["waiting"], batch["cancelled"]) == (0, False)
    out = tmp_path / "failed.csv"
    assert house.run("batches", "spring", "--failed", str(out)).returncode == 0
    with out.open(newline="") as file:
        failed = list(csv.DictReader(file))
    assert len(failed) == 3
    assert all(row["phone"].startswith("+32") and row["error"].startswith("rejected") for row in failed)
    # It is what `import` reads.
    again = house.run("import", str(out), "--channel", "sms", "--group-id", group_id, "--json")
    assert json.loads(again.stdout)["enqueued"] == 3
    wait_for(lambda: house.counts()["contacts"] == 31, what="all are there", show=house.log_tail)
    assert house.run("batches", "no such").returncode == 1


def test_a_dead_letter_that_is_sent_again_tells_its_first_id(house: House) -> None:
    group_id = house.new_group()
    house.sandbox.faults("envelope", code=301, endpoint="sms/addcontact", count=1)
    house.worker()
    first = house.enqueue("add_contact", contact(group_id, 1, batch_id="spring", reply_to="shop"))
    house.answer(first)
    new = house.run("dead", "retry", first).stdout.split()[-1]
    event = house.answer(new)
    assert event["originalid"] == first
    assert "batchid" not in event
    assert house.redis.llen("coupontools:reply:shop") == 1
