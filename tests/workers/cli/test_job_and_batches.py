"""`job`, `cancel`, `batches` and an import as one batch: as an operator asks at three in the morning."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

from actors.add_contact import AddContact
from config.keys import Keys
from delivery import batch_key
from delivery.task import mark_of, short_digest
from tests.harness import House, message, wait_for
from tests.harness.holds import put_hold
from tests.workers.cli.conftest import Command
from workers.imports.following import Following


def told(command: Command, *arguments: str) -> dict[str, Any]:
    done = command("job", *arguments, "--json")
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return found


def contact(group_id: str, number: int, **more: Any) -> dict[str, Any]:
    return {"channel": "sms", "group_id": group_id, "phone": f"+3248{number:07d}", **more}


def test_an_outage_of_another_kind_of_call_is_no_reason_to_wait(house: House, command: Command) -> None:
    """A contact was said to wait because nobody could verify webhooks."""
    keys = Keys(account="mine")
    house.redis.zadd("dramatiq:__heartbeats__", {"w": 1})
    house.redis.hset(keys.workers, "w", json.dumps({"account": "mine"}))
    put_hold(
        house.redis, keys, "account/outage/verify_webhook", call="account/verify_webhook", call_only=True
    )
    put_hold(house.redis, keys, "sms/outage/add_contact", call_only=True, message="add_contact: HTTP 503")
    webhook = house.enqueue("verify_webhook", webhook_id="evt_1")
    sms = house.enqueue("add_contact", contact("gro_1", 1))
    email = house.enqueue("add_contact", channel="email", group_id="gro_1", email="ada@example.com")
    assert told(command, webhook)["reason"] == "account held, the API does not answer: no"
    assert told(command, sms)["reason"] == "sms held, the API does not answer: add_contact: HTTP 503"
    assert told(command, email)["reason"] == "no worker takes what waits in contacts"


def test_a_job_in_each_of_its_states(house: House, command: Command) -> None:
    def becomes(state: str, message_id: str) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            found = told(command, message_id)
            return found if found["state"] == state else None

        return wait_for(there, seconds=60, what=state, show=house.log_tail)

    group_id = house.new_group()
    waiting = house.enqueue("add_contact", contact(group_id, 1, correlation_id="order/1"))
    found = told(command, waiting)
    assert list(found) == [
        "message_id", "state", "job", "queue", "since", "attempts", "reason", "until", "worker", "read_back_at", "event",
    ]  # fmt: skip
    assert (found["state"], found["queue"], found["job"]) == ("waiting", "contacts", "add_contact")
    assert found["reason"] == "no worker takes what waits in contacts"
    assert told(command, "--correlation-id", "order/1")["message_id"] == waiting
    queue, redis_id, body = message("add_contact", contact(group_id, 2))
    body["options"]["eta"] = round(time.time() * 1000) + 3_600_000
    house.redis.hset(f"dramatiq:{queue}.DQ.msgs", redis_id, json.dumps(body | {"queue_name": f"{queue}.DQ"}))
    house.redis.rpush(f"dramatiq:{queue}.DQ", redis_id)
    house.sandbox.faults("close_after", endpoint="email/addcontact")
    house.sandbox.faults("hang_before", endpoint="sms/addgroup", seconds=600)
    email = house.new_group("email", name="Mail")
    # A call that hangs does so until the end of the test.
    house.worker(READ_BACK_AFTER_SECONDS=600, COUPONTOOLS_TIMEOUT_SECONDS=600)
    house.answer(waiting, seconds=60)
    answered = told(command, waiting)
    assert (answered["state"], answered["event"]["type"]) == ("answered", "coupontools.contact.added")
    key = answered["event"]["idempotencykey"]
    assert told(command, "--idempotency-key", key, "--actor", "add_contact")["message_id"] == waiting
    delayed = becomes("delayed", str(body["message_id"]))
    assert delayed["until"] > delayed["since"]
    lost = house.enqueue("add_contact", channel="email", group_id=email, email="ada@example.com")
    unknown = becomes("unknown", lost)
    assert unknown["read_back_at"] > unknown["since"]
    assert unknown["attempts"] == 1
    running = becomes("running", house.enqueue("create_group", channel="sms", name="New"))
    assert running["worker"]
    dead = house.enqueue("add_contact", contact("no group", 3))
    house.answer(dead, seconds=60)
    found = told(command, dead)
    assert (found["state"], found["queue"], found["event"]["id"]) == ("dead", "contacts", dead)
    assert command("pause", "--scope", "sms", "--reason", "moving house").returncode == 0
    held = house.enqueue("add_contact", contact(group_id, 4))
    assert becomes("held", held)["reason"] == "sms held, paused by an operator: moving house"
    missing = command("job", "nothing", "--json")
    assert missing.returncode == 1
    assert json.loads(missing.stdout)["state"] == "not_found"
    # What is in flight, lost or answered is told; what waits is cancelled.
    done = command("cancel", held, running["message_id"], lost, waiting, dead, "nothing")
    assert done.returncode == 1
    assert [line.partition(": ")[2].split()[0] for line in done.stderr.splitlines()] == [
        "is", "may", "was", "was", "was",
    ]  # fmt: skip
    assert house.answer(held, seconds=60)["data"]["error"]["kind"] == "cancelled"


def test_what_left_the_stream_is_told_from_its_mark_and_its_record(house: House, command: Command) -> None:
    group_id = house.new_group()
    own = {"idempotency_key": "order 7"}
    house.worker()
    first = house.enqueue("add_contact", contact(group_id, 1, **own))
    second = house.enqueue("add_contact", contact(group_id, 2))
    answers = {1: house.answer(first), 2: house.answer(second)}
    key = answers[2]["idempotencykey"]
    contact_ids = {number: event["data"]["contact_id"] for number, event in answers.items()}
    assert told(command, "--idempotency-key", "order 7")["event"]["id"] == first
    house.redis.delete("coupontools:events")
    gone = told(command, first)
    assert (gone["state"], gone["message_id"], gone["event"]) == ("answered", first, None)
    for each, number in (("order 7", 1), (key, 2)):
        remembered = told(command, "--idempotency-key", each)
        assert (remembered["state"], remembered["job"]) == ("answered", "add_contact")
        # Of the job's own arguments nothing is remembered: whoever knows the key has them.
        assert remembered["event"]["type"] == "coupontools.contact.added"
        assert remembered["event"]["subject"] == contact_ids[number]
    assert command("job", "--idempotency-key", key, "--actor", "create_group").returncode == 1
    # A derived key of a message that no worker has seen stands nowhere; it is made anew.
    house.workers[0].terminate()
    third = house.enqueue("add_contact", contact(group_id, 3))
    key = AddContact.parse(contact(group_id, 3)).key or ""
    assert told(command, "--idempotency-key", key)["message_id"] == third


def test_an_id_in_redis_that_is_no_text_is_found_like_any_other(house: House, command: Command) -> None:
    # A producer in another language may take any bytes for its ids.
    queue, _, body = message("add_contact", contact(house.new_group(), 900))
    entry = b"\xff\xfe-1"
    house.redis.hset(f"dramatiq:{queue}.msgs", entry, json.dumps(body))
    house.redis.rpush(f"dramatiq:{queue}", entry)
    assert told(command, body["message_id"])["reason"] == f"no worker takes what waits in {queue}"
    house.redis.hset("coupontools:workers", "host-1-ab", json.dumps({"queues": [queue]}))
    house.redis.zadd("dramatiq:__heartbeats__", {"host-1-ab": time.time() * 1000})
    assert told(command, body["message_id"])["reason"] == f"next in {queue}"
    house.redis.lpop(f"dramatiq:{queue}")
    house.redis.sadd(f"dramatiq:__acks__.host-1-ab.{queue}", entry)
    assert told(command, body["message_id"])["worker"] == "host-1-ab"


def test_what_is_odd_on_record_stops_no_look(house: House, command: Command) -> None:
    job = contact("gro_1", 901, idempotency_key="order 9", correlation_id="order/9")
    message_id = house.enqueue("add_contact", job)
    keys = Keys(account="mine")
    house.redis.zadd("dramatiq:__heartbeats__", {"w": 1})
    house.redis.hset(keys.workers, "w", json.dumps({"account": "mine"}))
    house.redis.sadd(keys.parked, "no place", b"\xff|contacts|\xff")
    record = keys.record("add_contact", short_digest("order 9"))
    for odd in (b"x", b"\xff", b"1e400", b"null"):
        house.redis.hset(record, mapping=dict.fromkeys(("n", "rb", "w", "cl", "en", "un", "o"), odd))
        for state in ("unknown", "running", "done"):
            house.redis.hset(record, "s", state)
            assert told(command, message_id)["queue"] == "contacts"
            assert told(command, "--correlation-id", "order/9")["message_id"] == message_id
            assert told(command, "--idempotency-key", "order 9")["state"] in {
                "waiting",
                "unknown",
                "answered",
            }
        number, mark = mark_of("m-1")
        house.redis.hset(keys.marks(number), mark or "", odd)
        assert told(command, "m-1")["state"] == "not_found"


def test_an_event_that_is_nested_too_deeply_to_be_told_is_named(house: House, command: Command) -> None:
    event = '{"id":"m-1","type":"t","time":"2026","data":{"name":' + "[" * 900 + "]" * 900 + "}}"
    house.redis.xadd("coupontools:events", {"type": "t", "event": event})
    assert told(command, "m-1")["event"] == {"id": "m-1", "type": "t", "time": "2026"}
    assert command("job", "m-1").returncode == 0


def test_a_message_that_is_nested_too_deeply_hides_no_other(
    house: House, command: Command, tmp_path: Path
) -> None:
    deep = "[" * 1000 + "]" * 1000
    good = house.enqueue("add_contact", contact("gro_1", 902, correlation_id="order/10"))
    house.redis.hset(batch_key(Keys(), "spring"), "id", "spring")
    for place in ("contacts", "contacts.DQ", "contacts.XQ"):
        for name in ("actor_name", "message_id", "original_id", "first_name"):
            arguments = contact("gro_1", 903, correlation_id="order/10", first_name="Ada", batch_id="spring")
            _, redis_id, body = message("add_contact", arguments, message_id=f"{place}-{name}")
            its = {"original_id": body["options"], "first_name": arguments}.get(name, body)
            its[name] = "deep"
            house.redis.hset(f"dramatiq:{place}.msgs", redis_id, json.dumps(body).replace('"deep"', deep))
            reason = {
                "message_id": f"{place}-{name}",
                "job": "add_contact",
                "kind": "invalid",
                "message": "m",
            }
            if place == "contacts.XQ":
                house.redis.zadd("dramatiq:contacts.XQ", {redis_id: 1})
                house.redis.hset(
                    "coupontools:dead:contacts", redis_id, json.dumps(reason | {"batch_id": "spring"})
                )
    for arguments in (["--correlation-id", "order/10"], [good]):
        for form in ([], ["--json"]):
            done = command("job", *arguments, *form)
            assert (done.returncode, good in done.stdout) == (0, True)
    assert told(command, "contacts.XQ-actor_name")["job"] is None
    file = tmp_path / "failed.csv"
    assert command("batches", "spring", "--failed", str(file)).returncode == 0
    assert len(file.read_text(encoding="utf-8").splitlines()) == 1 + 4


def test_a_batch_without_a_name_is_not_said_to_be_cancelled(command: Command) -> None:
    done = command("cancel", "--batch", "")
    assert done.returncode == 2
    assert "--batch" in done.stderr


def test_a_batch_that_nobody_knows_yet_is_cancelled_and_told_as_such(house: House, command: Command) -> None:
    """Its jobs may still come; but it may be a slip, too."""
    done = command("cancel", "--batch", "sprnig")
    assert (done.returncode, done.stdout) == (0, "")
    assert (
        done.stderr
        == "no job of batch sprnig has been counted yet: jobs that wait or come later are cancelled\n"
    )
    house.redis.hset(batch_key(Keys(), "spring"), "id", "spring")
    assert command("cancel", "--batch", "spring").stderr == ""


def test_a_job_that_is_not_found_has_no_id_where_none_was_given(command: Command) -> None:
    for arguments, message_id in (
        (["--correlation-id", "nobody's"], None),
        (["--idempotency-key", "nobody's"], None),
        (["nobody's"], "nobody's"),
    ):
        done = command("job", *arguments, "--json")
        told = json.loads(done.stdout)
        assert (done.returncode, told["state"], told["message_id"]) == (1, "not_found", message_id)


def test_no_batches_are_no_line_of_json(command: Command) -> None:
    assert command("batches").stdout == "no batches\n"
    assert command("batches", "--json").stdout == ""


def test_until_its_first_answer_a_batch_waits_for_all_others_of_its_queue(
    house: House, command: Command
) -> None:
    """A small import behind a large one was said to take seconds, for hours."""
    now, keys = round(time.time() * 1000), Keys()
    # 120 a minute.
    house.redis.hset(
        f"{keys.minutes}:{now // 60_000}", mapping={"bulk|succeeded": 600, "bulk|first": now - 300_000}
    )
    house.redis.hset(keys.queue("bulk").bodies, mapping=dict.fromkeys(map(str, range(5000)), "{}"))
    counts = {"id": "spring", "size": 10, "enqueued": 10, "imports": "bulk", "lane": "bulk", "began_at": now}
    house.redis.hset(batch_key(keys, "spring"), mapping=counts)
    following = Following(house.redis, keys, "spring")

    def left() -> tuple[float, float]:
        shown = json.loads(command("batches", "spring", "--json").stdout)["left_seconds"]
        told = following.look(10).left_seconds
        assert told is not None
        return shown, told

    assert min(left()) > 2000
    house.redis.hset(batch_key(keys, "spring"), mapping={"answered": 1, "succeeded": 1, "bulk|succeeded": 1})
    assert max(left()) < 60


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


def test_a_dead_letter_that_is_sent_again_tells_its_first_id(house: House, command: Command) -> None:
    group_id = house.new_group()
    house.sandbox.faults("envelope", code=301, endpoint="sms/addcontact", count=1)
    house.worker()
    first = house.enqueue("add_contact", contact(group_id, 1, batch_id="spring", reply_to="shop"))
    house.answer(first)
    new = house.run("dead", "retry", first).stdout.split()[-1]
    event = house.answer(new)
    assert event["originalid"] == first
    # Who asks by the first id is told of the second.
    assert told(command, first)["reason"] == f"it was sent again as {new}"
    assert "batchid" not in event
    assert house.redis.llen("coupontools:reply:shop") == 1


def test_a_dead_letter_whose_id_was_used_again_is_sent_again_all_the_same(
    house: House, command: Command
) -> None:
    """As an import does whose batch's id is used again. The retry had the id of the one before, and ended without an event."""
    house.sandbox.faults("envelope", code=301, endpoint="sms/addcontact", count=3)
    house.worker()
    first = house.enqueue("add_contact", contact(house.new_group(), 1))
    house.answer(first)
    [(entry_id, body)] = house.redis.hgetall("dramatiq:contacts.XQ.msgs").items()
    before = house.run("dead", "retry", first).stdout.split()[-1]
    house.answer(before)
    # It is forgotten, but what it was sent again as is not.
    house.redis.delete(f"coupontools:answered:{first}")
    house.redis.hset("dramatiq:contacts.msgs", entry_id, body)
    house.redis.rpush("dramatiq:contacts", entry_id)
    wait_for(lambda: house.redis.zscore("dramatiq:contacts.XQ", entry_id), what="its second end")
    new = house.run("dead", "retry", first).stdout.split()[-1]
    assert house.answer(new)["type"] == "coupontools.contact.added"
    assert told(command, first)["reason"] == f"it was sent again as {new}"


def test_nobody_pauses_an_account_that_nobody_knows(house: House, command):
    """Without a client id and while no worker ran, another account was paused; the workers that came then went on."""
    unknown = {"COUPONTOOLS_CLIENT_ID": "", "COUPONTOOLS_CLIENT_SECRET": ""}
    for word in ("pause", "resume"):
        done = command(word, **unknown)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "nothing was done: no worker runs that would tell which account is meant; start one, or set COUPONTOOLS_CLIENT_ID\n"
        )
    house.worker()
    assert command("pause", **unknown).stdout == "account is paused\n"
    assert json.loads(command("status", "--json").stdout)["holds"][0]["kind"] == "paused"


def test_the_end_of_one_pause_is_not_told_as_the_end_of_all(command):
    """It said that the account goes on while one of its channels, or the whole of it, was held all the same."""
    for scope in ("sms", "account"):
        assert command("pause", "--scope", scope).stdout == f"{scope} is paused\n"
    assert command("resume").stdout == "the pause of account is over\n"
    assert [hold["scope"] for hold in json.loads(command("status", "--json").stdout)["holds"]] == ["sms"]
