"""The last scripts of a worker that stops."""

from __future__ import annotations

from config.keys import Keys
from tests.harness import House
from tests.harness.fetching import hand_back
from workers.broker.scripts import SCRIPTS
from workers.redis_link import ThreadRunner

KEYS = Keys()
READS = KEYS.queue("reads")
ACKS = KEYS.acks("w1", "reads")


def test_messages_are_handed_back_to_the_head_of_their_queue_in_their_old_order(house: House) -> None:
    fetched = ["first", "second", "third"]
    house.redis.hset(READS.bodies, mapping=dict.fromkeys([*fetched, "later"], "{}"))
    house.redis.rpush(READS.ready, "later")
    house.redis.sadd(ACKS, *fetched)
    back = hand_back(house.redis, "reads", "w1", "all", *fetched)
    assert back == 3
    assert house.redis.lrange(READS.ready, 0, -1) == [b"first", b"second", b"third", b"later"]
    assert house.redis.scard(ACKS) == 0


def test_a_worker_with_an_outstanding_job_does_not_leave(house: House) -> None:
    """Only a worker that has a heartbeat is missed: without one, nobody would take its job over."""
    house.redis.zadd(KEYS.heartbeats, {"w1": 1})
    house.redis.hset(KEYS.workers, "w1", "{}")

    def leave() -> tuple[int, int, int]:
        keys = [KEYS.heartbeats, KEYS.workers, KEYS.suspects, *(KEYS.acks("w1", queue) for queue in queues)]
        answer = ThreadRunner(house.redis).run(SCRIPTS["leave"], keys, ["w1"])
        return answer, house.redis.zcard(KEYS.heartbeats), house.redis.hlen(KEYS.workers)

    queues = ["contacts", "groups", "reads"]
    for queue in queues:
        house.redis.sadd(KEYS.acks("w1", queue), "a job")
        assert leave() == (0, 1, 1)
        house.redis.delete(KEYS.acks("w1", queue))
    assert leave() == (1, 0, 0)
