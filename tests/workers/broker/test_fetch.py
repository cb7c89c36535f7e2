"""How much one fetch takes: a hundred messages of 5 MB would be too much for a worker's memory."""

from __future__ import annotations

from config.keys import Keys
from tests.harness import House
from tests.harness.fetching import fetch as fetch_rows

KEYS = Keys()
READS = KEYS.queue("reads")


def fetch(house: House, most: int, room: int) -> list[str]:
    return [entry_id for entry_id, _, _ in fetch_rows(house.redis, "reads", "w1", most, room=room)]


def put(house: House, name: str, size: int, *, due: bool = False) -> None:
    house.redis.hset(READS.bodies, name, "x" * size)
    if due:
        house.redis.zadd(READS.delayed, {name: len(name)})
    else:
        house.redis.rpush(READS.ready, name)


def test_as_many_as_fit_and_one_in_any_case(house: House) -> None:
    for number in range(4):
        put(house, f"r{number}", 400)
    put(house, "huge", 5000)
    put(house, "last", 1)
    assert fetch(house, 10, 1000) == ["r0", "r1"]
    assert fetch(house, 10, 1000) == ["r2", "r3"]
    assert fetch(house, 10, 1000) == ["huge"]
    assert fetch(house, 10, 1000) == ["last"]
    assert fetch(house, 10, 1000) == []
    assert house.redis.scard(KEYS.acks("w1", "reads")) == 6


def test_what_is_due_comes_first_and_fills_the_room_alike(house: House) -> None:
    put(house, "r", 400)
    for number in range(3):
        put(house, "d" * (number + 1), 400, due=True)
    assert fetch(house, 10, 1000) == ["d", "dd"]
    assert house.redis.zcard(READS.delayed) == 1
    assert fetch(house, 10, 1000) == ["ddd", "r"]
    # An id without a message takes no room, and is returned.
    house.redis.rpush(READS.ready, "nothing")
    assert fetch(house, 1, 10) == ["nothing"]


def test_the_queue_does_not_overtake_what_is_due_and_did_not_fit(house: House) -> None:
    """Otherwise small messages of a full queue would pass a large one that is due, for ever."""
    put(house, "d", 400, due=True)
    put(house, "large", 700, due=True)
    put(house, "r", 1)
    assert fetch(house, 10, 1000) == ["d"]
    assert fetch(house, 10, 1000) == ["large", "r"]


def test_what_was_brought_forward_and_handed_back_is_not_lost(house: House) -> None:
    """Otherwise both its entries in the list would be passed over because of one mark, and only its body would be left."""
    put(house, "a", 10)
    house.redis.rpush(READS.ready, "a")
    house.redis.sadd(READS.forward, "a")
    assert fetch(house, 1, 1000) == ["a"]
    # While the message is outstanding, its second entry is a repeat; once it is answered, that entry is only left over.
    house.redis.srem(KEYS.acks("w1", "reads"), "a")
    house.redis.hdel(READS.bodies, "a")
    assert fetch(house, 10, 1000) == []
    assert not house.redis.exists(READS.forward, READS.ready)
