"""What a queue's consumer does with a message, and which messages it counts as its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from structlog.testing import capture_logs

from tests.harness import House, message, wait_for
from workers.broker import DurableBroker
from workers.broker.consumer import DurableConsumer
from workers.broker.entries import DurableMessage

HOUR_MS = 3_600_000


@pytest.fixture
def consumer(broker: DurableBroker) -> Iterator[DurableConsumer]:
    with closing(broker.consume("reads")) as consumer:
        yield consumer


def push(house: House, *, sent: int, eta: int | None = None) -> None:
    queue, redis_id, body = message("list_groups", {"channel": "sms"}, message_timestamp=sent)
    if eta is not None:
        body["options"]["eta"] = eta
    house.push(queue, redis_id, json.dumps(body))


def fetch(consumer: DurableConsumer) -> DurableMessage:
    fetched = next(consumer)
    assert fetched is not None
    return fetched


def test_a_delay_does_not_spend_the_job_s_deadline(house: House, consumer: DurableConsumer) -> None:
    now = round(time.time() * 1000)
    push(house, sent=now - 48 * HOUR_MS, eta=now - HOUR_MS)
    push(house, sent=now - HOUR_MS)
    push(house, sent=now - HOUR_MS, eta=now - 48 * HOUR_MS)
    for _ in range(3):
        fetched = fetch(consumer)
        assert fetched.message_timestamp == now - HOUR_MS
        # A worker may have no more listings in hand than may be under way.
        fetched.receipt.release()


def test_a_late_release_does_not_let_go_of_a_message_that_was_fetched_again(
    house: House, consumer: DurableConsumer
) -> None:
    """Otherwise the second delivery would be outstanding in Redis and unknown here, and nobody would hand it back at the end."""
    push(house, sent=1)
    first = fetch(consumer).receipt
    # As if delivery had put the message off, and it were due again before its receipt is released.
    house.redis.srem(first.acks, first.id)
    house.redis.zadd(first.delayed, {first.id: 1})
    second = fetch(consumer).receipt
    assert second.id == first.id
    first.release()
    assert consumer.outstanding_message_count == 1
    second.release()
    assert consumer.outstanding_message_count == 0


def test_only_what_is_tried_alone_is_told_as_such(house: House, consumer: DurableConsumer) -> None:
    """Otherwise a neighbour with fewer deaths, which comes in the fetch that finds the suspect, would be logged as tried alone, too."""
    push(house, sent=1)
    push(house, sent=2)
    neighbour, suspect = house.redis.lrange("dramatiq:reads", 0, -1)
    house.redis.hset("coupontools:deaths:reads", mapping={neighbour: 1, suspect: 3})
    with capture_logs() as lines:
        receipt = fetch(consumer).receipt
        assert (receipt.id, lines) == (neighbour.decode(), [])
        house.redis.srem(receipt.acks, receipt.id)
        receipt.release()
        alone = wait_for(lambda: next(consumer), what="the suspect")
    assert alone.receipt.id == suspect.decode()
    assert [(line["event"], line["deaths"]) for line in lines] == [("message.tried_alone", 3)]
