"""Batches: each job is counted once, in the step that answers it; answers go to reply lists; cancelled jobs make no call."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from typing import Any

from config.keys import Keys
from delivery import Policy, cancelling, sizing
from delivery.task import short_digest
from tests.harness import House, message, wait_for
from tests.harness.sync_ledger import LONG_POLICY
from workers.redis_link import ThreadRunner

KEYS = Keys()
POLICY: Policy = LONG_POLICY


def contacts(group_id: str, count: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"channel": "sms", "group_id": group_id, "phone": f"+3248{number:07d}", **more}
        for number in range(count)
    ]


def finished(house: House) -> list[dict[str, Any]]:
    return [event for event in house.events() if event["type"] == "coupontools.batch.finished"]


def counts(house: House, batch_id: str) -> dict[str, int]:
    found = house.redis.hgetall(KEYS.batch(short_digest(batch_id)))
    told = {name.decode(): value.decode() for name, value in found.items()}
    return {
        name: int(value)
        for name, value in told.items()
        if name not in {"id", "lane", "began_at", "finished_at"}
    }


def answered_by_minute(house: House) -> Counter[str]:
    """Return what was answered in all minutes together, by lane and outcome."""
    told: Counter[str] = Counter()
    for key in house.redis.scan_iter(f"{KEYS.minutes}:*"):
        assert 47 * 3600 < house.redis.ttl(key) <= 48 * 3600
        told.update({name.decode(): int(count) for name, count in house.redis.hgetall(key).items()})
    return Counter({name: count for name, count in told.items() if not name.endswith("|first")})


def test_a_batch_is_counted_once_a_job_whatever_happens(house: House) -> None:
    group_id = house.new_group()
    house.sandbox.faults("mixed", kinds=["close_after", "reset", "bad_gateway"], probability=0.1, seed=5)
    worker = house.worker(WORKER_PROCESSES=2, WORKER_HEARTBEAT_SECONDS=1, RETRY_MIN_SECONDS=0.1)
    jobs = contacts(group_id, 150, batch_id="spring")
    jobs += [{"channel": "sms", "group_id": group_id, "phone": "no number", "batch_id": "spring"}] * 10
    # Deliver some messages twice, and send some jobs once more under other message ids.
    ids = house.enqueue_many("add_contact", jobs)
    for entry in house.redis.lrange("dramatiq:contacts", 0, 20):
        house.redis.rpush("dramatiq:contacts", entry)
    again = house.enqueue_many("add_contact", jobs[:5])
    for kills in range(2):
        wait_for(lambda: house.redis.xlen("coupontools:events") > 20, show=house.log_tail)
        # Otherwise the second kill would hit the process that the first one ended.
        worker.wait_started(2 + kills)
        os.kill(worker.children()[0], signal.SIGKILL)
    ThreadRunner(house.redis).run(*sizing(KEYS, POLICY, "spring", 165))
    answers = house.wait_answered([*ids, *again], seconds=90)
    event = wait_for(lambda: finished(house), what="batch.finished", show=house.log_tail)[0]
    assert all(len(events) == 1 for events in answers.values())
    kinds = Counter(
        "failed"
        if events[0]["type"].endswith("failed")
        else "replayed"
        if events[0]["data"]["replayed"]
        else "succeeded"
        for events in answers.values()
    )
    assert event["id"] == "batch.finished/spring"
    assert event["batchid"] == "spring"
    data = event["data"]
    assert (data["total"], data["succeeded"], data["replayed"], data["failed"]) == (
        165,
        kinds["succeeded"],
        kinds["replayed"],
        {"invalid": 10},
    )
    assert data["succeeded"] == house.counts()["contacts"] == 150
    assert counts(house, "spring")["answered"] == 165
    assert {events[0].get("batchid") for events in answers.values()} == {"spring"}
    assert answered_by_minute(house) == {
        "contacts|succeeded": 150,
        "contacts|failed:invalid": 10,
        **({"contacts|replayed": kinds["replayed"]} if kinds["replayed"] else {}),
    }
    # A job that comes later adds to the counts, but writes no second batch.finished.
    house.answer(house.enqueue("add_contact", {**jobs[0], "phone": "+32479999999", "batch_size": 165}))
    assert counts(house, "spring")["answered"] == 166
    assert len(finished(house)) == 1


def test_an_answer_comes_where_the_caller_waits(house: House) -> None:
    group_id = house.new_group(contacts=[{"phone": f"+3249{n:07d}"} for n in range(1500)])
    house.worker()
    house.enqueue("add_contact", {**contacts(group_id, 1)[0], "reply_to": "shop:1"})
    wrong = house.enqueue("add_contact", channel="sms", group_id="no group", phone="+1", reply_to="shop:2")
    listing = house.enqueue("list_contacts", channel="sms", group_id=group_id, reply_to="shop:3")
    _, told = house.redis.blpop(["coupontools:reply:shop:1"], timeout=120)
    assert json.loads(told)["type"] == "coupontools.contact.added"
    _, told = house.redis.blpop(["coupontools:reply:shop:2"], timeout=120)
    assert (json.loads(told)["id"], json.loads(told)["data"]["error"]["kind"]) == (wrong, "invalid")
    first = json.loads(house.redis.blpop(["coupontools:reply:shop:3"], timeout=120)[1])
    pages = first["data"]["pages"]
    ids = [first["id"]]
    ids += [
        json.loads(house.redis.blpop(["coupontools:reply:shop:3"], timeout=120)[1])["id"]
        for _ in range(pages - 1)
    ]
    assert ids == [f"{listing}/{page}" for page in range(1, pages + 1)]
    house.enqueue("list_groups", channel="sms", reply_to="shop:4")
    wait_for(lambda: house.redis.pttl("coupontools:reply:shop:4") > 3_500_000, what="a list that runs out")
    refused = house.answer(house.enqueue("list_groups", channel="sms", reply_to="a b"))
    assert refused["data"]["error"]["details"][0]["field"] == "reply_to"


def test_what_is_cancelled_calls_nobody_and_is_answered_wherever_it_waits(house: House) -> None:
    group_id = house.new_group()
    house.worker(WORKER_CONCURRENCY=4, COUPONTOOLS_RATE_LIMIT=5)
    ready = house.enqueue_many("add_contact", contacts(group_id, 300, batch_id="autumn"))
    later = []
    for number in range(3):
        job = {"channel": "sms", "group_id": group_id, "phone": f"+3247{number:07d}", "batch_id": "autumn"}
        queue, redis_id, body = message("add_contact", job)
        body["options"]["eta"] = round(time.time() * 1000) + 3_600_000
        house.redis.hset(
            f"dramatiq:{queue}.DQ.msgs", redis_id, json.dumps(body | {"queue_name": f"{queue}.DQ"})
        )
        house.redis.rpush(f"dramatiq:{queue}.DQ", redis_id)
        later.append(str(body["message_id"]))
    other = house.enqueue("add_contact", channel="sms", group_id=group_id, phone="+32460000000")
    wait_for(lambda: len(house.sandbox.requests()) >= 5, show=house.log_tail)
    assert house.run("pause", "--scope", "sms").returncode == 0
    wait_for(lambda: house.redis.smembers("coupontools:parked:" + account(house)), what="some are parked")
    began = time.monotonic()
    calls = len(house.sandbox.requests())
    ThreadRunner(house.redis).run(*cancelling(KEYS, LONG_POLICY, batch_id="autumn"))
    answers = house.wait_answered([*ready, *later], seconds=120)
    took = time.monotonic() - began
    ends = Counter(
        events[0]["data"]["error"]["kind"] if events[0]["type"].endswith("failed") else "added"
        for events in answers.values()
    )
    print(f"303 cancelled, of them parked, ready and delayed: {dict(ends)} in {took:.1f} s")  # noqa: T201
    assert set(ends) <= {"cancelled", "added"}
    # How many were added meanwhile depends on how fast this machine is.
    assert all(answers[late][0]["data"].get("error", {}).get("kind") == "cancelled" for late in later)
    assert ends["cancelled"] > len(later)
    # Only the calls that were in flight, one for each place, were still made.
    assert len(house.sandbox.requests()) - calls <= 4
    assert ends["added"] == house.counts()["contacts"]
    assert house.redis.zcard("dramatiq:contacts.XQ") == 0
    assert house.run("resume", "--scope", "sms").returncode == 0
    assert house.answer(other)["type"] == "coupontools.contact.added"
    # The mark also catches jobs that come later.
    late = house.answer(
        house.enqueue(
            "add_contact", {**contacts(group_id, 1)[0], "phone": "+32450000001", "batch_id": "autumn"}
        )
    )
    assert late["data"]["error"]["kind"] == "cancelled"


def test_a_batch_s_name_may_be_used_again_once_its_counts_are_gone(house: House) -> None:
    """Otherwise each later batch of that name would be cancelled, for 90 days after the last `cancel` of anything.

    A job that was sent before the mark, and still waits, stays cancelled.
    """
    house.worker(WORKER_PROCESSES=1)
    job = {"channel": "sms", "group_id": house.new_group(), "batch_id": "newsletter"}

    def add(number: int, sent: int | None = None) -> str:
        queue, redis_id, body = message("add_contact", {**job, "phone": f"+3247{number:07d}"})
        if sent:
            # The job was sent earlier, to be carried out now.
            body["options"]["eta"], body["message_timestamp"] = body["message_timestamp"], sent
        house.redis.hset(f"dramatiq:{queue}.msgs", redis_id, json.dumps(body))
        house.redis.rpush(f"dramatiq:{queue}", redis_id)
        return str(body["message_id"])

    def end(message_id: str) -> str:
        data = house.answer(message_id)["data"]
        return str(data["error"]["kind"]) if "error" in data else "added"

    assert house.run("cancel", "--batch", "newsletter").returncode == 0
    assert end(add(1)) == "cancelled"
    # A month passes: the counts are gone, and the mark is a month old.
    house.redis.delete(KEYS.batch(short_digest("newsletter")))
    month_ago = round(time.time() * 1000) - 30 * 86_400_000
    house.redis.hset(KEYS.cancelled, "b:newsletter", month_ago)
    assert end(add(2)) == "added"
    assert end(add(3, sent=month_ago)) == "cancelled"
    assert end(add(4)) == "added"
    batch = json.loads(house.run("batches", "newsletter", "--json").stdout)
    assert (batch["succeeded"], batch["failed"], batch["cancelled"]) == (2, {"cancelled": 1}, False)
    assert house.run("cancel", "--batch", "newsletter").returncode == 0
    assert end(add(5)) == "cancelled"


def account(house: House) -> str:
    [key] = house.redis.scan_iter("coupontools:holds:*")
    return str(key.decode().rsplit(":", 1)[1])
