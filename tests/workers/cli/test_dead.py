"""`dead`: letters are listed, shown, retried one step each, and purged."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from redis.client import Pipeline

from config.keys import Keys
from tests.harness import House, message, wait_for
from tests.harness.piped import DEVNULL
from workers.broker import DeadLetters

REASON = {"job": "add_contact", "kind": "rejected", "code": 514, "message": "Group not found"}

#: Times of death that others may give a letter: none is a moment that a calendar has.
ODD_TIMES = [float("inf"), float("-inf"), 1e300, -1e15]
ODD_REASONS = [b"x", b"\xff", b"[1]", b"{}", b'{"message_id": [], "job": null, "kind": 1, "message": {}}']


def bury(house: House, arguments: dict[str, Any], *, died: float | None = None, **fields: Any) -> str:
    """A dead letter as settle.lua leaves it; answers its message id."""
    with house.redis.pipeline() as pipeline:
        message_id = put_letter(pipeline, arguments, died or time.time() * 1000, **fields)
        pipeline.execute()
    return message_id


def bury_many(
    house: House, count: int, died: Callable[[int], float] = lambda _: time.time() * 1000
) -> list[str]:
    """So many dead letters at once; answers their message ids."""
    with house.redis.pipeline() as pipeline:
        ids = [put_letter(pipeline, {"n": number}, died(number)) for number in range(count)]
        pipeline.execute()
    return ids


def put_letter(pipeline: Pipeline, arguments: dict[str, Any], died: float, **fields: Any) -> str:
    queue, redis_id, body = message("add_contact", arguments, **fields)
    reason = {**REASON, "message_id": body["message_id"]}
    pipeline.zadd(f"dramatiq:{queue}.XQ", {redis_id: died})
    pipeline.hset(f"dramatiq:{queue}.XQ.msgs", redis_id, json.dumps(body))
    pipeline.hset(f"coupontools:dead:{queue}", redis_id, json.dumps(reason))
    return str(body["message_id"])


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def nothing_half_done(house: House, queue: str = "contacts") -> bool:
    """Every letter has its three parts, and every waiting job its body."""
    redis = house.redis
    dead = set(redis.zrange(f"dramatiq:{queue}.XQ", 0, -1))
    ready = set(redis.lrange(f"dramatiq:{queue}", 0, -1))
    return (
        dead == set(redis.hkeys(f"dramatiq:{queue}.XQ.msgs")) == set(redis.hkeys(f"coupontools:dead:{queue}"))
    ) and ready == set(redis.hkeys(f"dramatiq:{queue}.msgs"))


def test_a_failed_job_is_found_shown_and_retried(house: House, command):
    house.worker()
    wrong = "gro_999999"
    arguments = {"channel": "sms", "group_id": wrong, "phone": "+32470123456", "correlation_id": "order-7"}
    first = house.enqueue("add_contact", arguments, idempotency_key="key-7")
    assert house.answer(first)["data"]["error"]["code"] == 514

    listed = command("dead", "list", "--json")
    assert [(one["message_id"], one["kind"], one["code"]) for one in lines(listed.stdout)] == [
        (first, "rejected", 514)
    ]
    assert first in command("dead", "list", "--queue", "contacts").stdout
    assert command("dead", "list", "--queue", "groups").stdout == "no dead letters\n"
    shown = lines(command("dead", "show", first, "--json").stdout)[0]
    assert shown["body"]["kwargs"]["phone"] == "+32470123456"
    assert shown["kind"] == "rejected"
    assert '"phone": "+32470123456"' in command("dead", "show", first).stdout

    retried = command("dead", "retry", first, "--json")
    assert retried.returncode == 0, retried.stderr
    (told,) = lines(retried.stdout)
    second = told["retried_as"]
    assert (told["message_id"], told["queue"]) == (first, "contacts")
    assert second != first
    answer = house.answer(second)
    assert answer["type"] == "coupontools.contact.failed"
    assert (answer["correlationid"], answer["idempotencykey"]) == ("order-7", "key-7")
    # It died again, as another letter.
    wait_for(lambda: house.redis.zcard("dramatiq:contacts.XQ") == 1, what="the second letter")
    assert command("dead", "retry", first).returncode == 1
    assert command("dead", "show", first).returncode == 1


def test_a_retry_is_a_new_message_with_the_same_arguments(house: House, command):
    arguments = {"channel": "sms", "group_id": "gro_1", "phone": "+32470123456", "correlation_id": "c"}
    options = {"traceparent": "00-1-2-03", "eta": 1_800_000_000_000.5, "redis_message_id": "x"}
    old = bury(house, arguments, message_timestamp=1000)
    entry = house.redis.zrange("dramatiq:contacts.XQ", 0, 0)[0].decode()
    body = json.loads(house.redis.hget("dramatiq:contacts.XQ.msgs", entry))
    body["options"] = {**options, "redis_message_id": entry}
    body["queue_name"] = "contacts.DQ"
    house.redis.hset("dramatiq:contacts.XQ.msgs", entry, json.dumps(body))
    done = command("dead", "retry", old)
    assert done.returncode == 0, done.stderr
    (new_entry,) = house.redis.lrange("dramatiq:contacts", 0, -1)
    new = json.loads(house.redis.hget("dramatiq:contacts.msgs", new_entry))
    assert new_entry.decode() != entry
    assert new["options"] == {
        "redis_message_id": new_entry.decode(),
        "traceparent": "00-1-2-03",
        "original_id": old,
    }
    assert new["message_id"] not in {old, ""}
    assert f"{old} -> {new['message_id']}" in done.stdout
    assert new["message_timestamp"] > time.time() * 1000 - 300_000
    assert (new["queue_name"], new["kwargs"]) == ("contacts", arguments)
    assert nothing_half_done(house)
    assert house.redis.zcard("dramatiq:contacts.XQ") == 0


def test_what_ended_as_unknown_is_looked_up_or_called_anew(house: House, command):
    """The API carried it out and nobody saw; an operator who says --anew gets it once more."""
    group_id = house.new_group()
    house.sandbox.faults("close_after", endpoint="sms/addcontact")
    house.sandbox.faults("empty", endpoint="sms/userlist")
    worker = house.worker(JOB_DEADLINE_SECONDS=10)
    firsts = [
        house.enqueue("add_contact", channel="sms", group_id=group_id, phone=f"+3247012345{number}")
        for number in range(2)
    ]
    for first in firsts:
        assert house.answer(first, seconds=60)["data"]["error"]["kind"] == "unknown"
    worker.kill()
    house.sandbox.clear_faults()
    # Whose job it is nobody knows here: it was sent again, and --anew was forgotten.
    house.redis.delete("coupontools:workers")
    unknown = {"COUPONTOOLS_CLIENT_ID": "", "COUPONTOOLS_CLIENT_SECRET": ""}
    done = command("dead", "retry", firsts[1], "--anew", **unknown)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing was done: no worker runs that would tell which account is meant" in done.stderr
    house.worker()
    answers = []
    for first, options in zip(firsts, ([], ["--anew"]), strict=True):
        retried = command("dead", "retry", first, *options, "--json")
        answers.append(house.answer(lines(retried.stdout)[0]["retried_as"], seconds=60))
        assert answers[-1]["originalid"] == first
    assert [answer["data"]["reconciled"] for answer in answers] == [True, False]
    assert house.counts()["contacts"] == 3


def test_unreadable_letters_stay_and_are_told(house: House, command):
    house.worker()
    house.push("contacts", "broken", "{not json")
    wait_for(lambda: house.redis.zcard("dramatiq:contacts.XQ") == 1, what="the letter", show=house.log_tail)
    (letter,) = lines(command("dead", "list", "--json").stdout)
    assert (letter["message_id"], letter["kind"]) == ("broken", "unreadable")
    for how in (["broken"], ["--all"]):
        done = command("dead", "retry", *how)
        assert done.returncode == 1
        assert "is no readable job and cannot be retried" in done.stderr
    assert lines(command("dead", "show", "broken", "--json").stdout)[0]["body"] == "{not json"
    assert house.redis.hlen("dramatiq:contacts.XQ.msgs") == 1


def test_a_letter_with_an_odd_time_or_reason_hides_no_other(house: House, command):
    good = bury(house, {"n": 0})
    odd = [bury(house, {"n": number}, died=died) for number, died in enumerate(ODD_TIMES)]
    for reason in ODD_REASONS:
        odd.append(bury(house, {}))
        [entry] = {
            redis_id
            for redis_id, body in house.redis.hgetall("dramatiq:contacts.XQ.msgs").items()
            if odd[-1].encode() in body
        }
        house.redis.hset("coupontools:dead:contacts", entry, reason)
    listed = lines(command("dead", "list", "--json").stdout)
    assert {letter["message_id"] for letter in listed} == {good, *odd}
    assert command("dead", "list").returncode == 0
    for message_id in odd:
        assert command("dead", "show", message_id).returncode == 0
        assert json.loads(command("job", message_id, "--json").stdout)["state"] == "dead"
    assert command("dead", "retry", *odd).returncode == 0
    assert command("dead", "retry", "--all").stderr == "1 retried\n"


@pytest.mark.story
def test_all_retries_every_letter_of_one_queue_once(house: House, command):
    ids = bury_many(house, 1200)
    other = message("create_group", {"channel": "sms", "name": "x"})
    house.redis.zadd("dramatiq:groups.XQ", {other[1]: time.time() * 1000})
    house.redis.hset("dramatiq:groups.XQ.msgs", other[1], json.dumps(other[2]))
    done = command("dead", "retry", "--all", "--queue", "contacts", "--json")
    assert done.returncode == 0, done.stderr
    told = lines(done.stdout)
    assert {one["message_id"] for one in told} == set(ids)
    assert len(told) == house.redis.llen("dramatiq:contacts") == 1200
    assert nothing_half_done(house)
    # A letter that a stock worker left has no reason on record; it is found all the same.
    (stock,) = lines(command("dead", "list", "--json").stdout)
    assert (stock["message_id"], stock["job"]) == (other[2]["message_id"], "create_group")
    assert command("dead", "retry", other[2]["message_id"]).returncode == 0


def test_pages_hold_every_letter_while_letters_vanish(house: House):
    ids = set(bury_many(house, 1500, lambda number: 1000.0 + number // 700))
    letters = DeadLetters(house.redis, Keys(), ["contacts"])
    assert {letter.id for letter in letters.oldest_first()} == ids
    seen = set()
    for page in letters.that_died_before(1e15):
        assert len(page) <= 500
        seen |= {letter.id for letter in page}
        letters.purge(page)
    assert seen == ids
    assert letters.count() == 0
    assert nothing_half_done(house)
    late = bury(house, {}, died=letters.now() + 60_000)
    assert not [letter for page in letters.that_died_before(letters.now()) for letter in page]
    assert [letter.id for letter in letters.find([late, "nobody"])[late]] == [late]


def test_ctrl_c_leaves_no_retry_half_done(house: House):
    bury_many(house, 1500)
    streams = {"stdout": DEVNULL, "stderr": DEVNULL}
    with house.start("dead", "retry", "--all", streams=streams) as retrying:
        wait_for(lambda: house.redis.llen("dramatiq:contacts") >= 100, what="the first retries")
        retrying.send_signal(signal.SIGINT)
        assert retrying.wait(timeout=120) in {130, 0}
    assert house.redis.llen("dramatiq:contacts") + house.redis.zcard("dramatiq:contacts.XQ") == 1500
    assert nothing_half_done(house)


def test_purge_asks_who_can_answer(house: House, command):
    bury_many(house, 5)
    assert json.loads(command("dead", "purge", "--queue", "groups", "--json").stdout) == {"purged": 0}
    for answer, left in ((b"n\n", 5), (b"y\n", 0)):
        ours, theirs = os.openpty()
        with house.start("dead", "purge", streams={"stdin": theirs}) as purging:
            os.close(theirs)
            os.write(ours, answer)
            _, asked = purging.communicate(timeout=240)
        os.close(ours)
        assert b"forget 5 dead letters" in asked
        assert purging.returncode == (1 if left else 0)
        assert house.redis.zcard("dramatiq:contacts.XQ") == left
    assert nothing_half_done(house)


def test_purge_forgets_nothing_unasked_where_nobody_can_answer(house: House, command):
    bury(house, {"n": 1})
    assert command("dead", "purge", "--json").returncode == 2
    assert command("dead", "purge", stdin="").returncode == 2
    assert house.redis.zcard("dramatiq:contacts.XQ") == 1
    assert json.loads(command("dead", "purge", "--json", "--yes").stdout) == {"purged": 1}
    assert house.redis.zcard("dramatiq:contacts.XQ") == 0


def test_wrong_usage(command):
    assert command("dead", "retry").returncode == 2
    assert command("dead", "retry", "x", "--all").returncode == 2
    wrong = command("dead", "list", "--queue", "nobody")
    assert wrong.returncode == 2
    assert "there is no queue" in wrong.stderr


def test_a_terminal_is_not_driven_by_what_strangers_enqueue(house: House, command):
    bury(house, {}, message_id="a\x1b[2Jb")
    text = command("dead", "list").stdout
    assert "\x1b" not in text
    assert "a\N{REPLACEMENT CHARACTER}[2Jb" in text
