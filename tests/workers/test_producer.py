"""Enqueueing: all or none, and once however often it is repeated."""

from __future__ import annotations

import json

from config.keys import Keys
from tests.harness import House
from workers.producer import enqueue_all, job_message


def test_a_lost_answer_may_be_repeated(house: House):
    messages = [job_message("list_groups", {"channel": "sms"}), job_message("create_group", {"name": "x"})]
    assert [enqueue_all(house.redis, Keys(), messages) for _ in range(3)] == [2, 0, 0]
    assert enqueue_all(house.redis, Keys(), []) == 0
    (ready,) = house.redis.lrange("dramatiq:reads", 0, -1)
    body = json.loads(house.redis.hget("dramatiq:reads.msgs", ready))
    assert body["options"] == {"redis_message_id": ready.decode()}
    assert (body["kwargs"], body["args"], body["queue_name"]) == ({"channel": "sms"}, [], "reads")
    assert house.redis.llen("dramatiq:groups") == house.redis.hlen("dramatiq:groups.msgs") == 1


def test_what_a_worker_has_answered_meanwhile_is_not_enqueued_again(house: House):
    """A repeat, or an import that goes on while workers run: counted once more, its batch would never be whole."""
    message = job_message("list_groups", {"channel": "sms"})
    counted = (Keys().batch("digest"), "spring", "reads", 60_000)
    assert enqueue_all(house.redis, Keys(), [message], counted) == 1
    house.redis.delete("dramatiq:reads", "dramatiq:reads.msgs")
    house.redis.set(Keys().answered(message.message_id), "+")
    assert enqueue_all(house.redis, Keys(), [message], counted) == 0
    assert house.redis.hget(counted[0], "enqueued") == b"1"
    assert house.redis.llen("dramatiq:reads") == 0


def test_a_batch_remembers_how_many_of_others_were_answered_before(house: House):
    """Those are in its answers, too: else it would be told as finished while its own jobs wait."""
    counted = (Keys().batch("digest"), "spring", "reads", 60_000)
    house.redis.hset(counted[0], "answered", 4)
    for _ in range(2):
        assert enqueue_all(house.redis, Keys(), [job_message("list_groups", {"channel": "sms"})], counted)
        house.redis.hincrby(counted[0], "answered", 1)
    assert house.redis.hmget(counted[0], "others", "enqueued") == [b"4", b"2"]
    other = (Keys().batch("other"), "autumn", "reads", 60_000)
    assert enqueue_all(house.redis, Keys(), [job_message("list_groups", {"channel": "sms"})], other)
    assert house.redis.hget(other[0], "others") is None
