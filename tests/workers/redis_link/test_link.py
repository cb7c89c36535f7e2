"""What is an outage, by what a real Redis says, and how often each reason is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest
import redis
from redis.exceptions import RedisError

from tests.harness import House
from tests.harness.refusals import Refusals
from workers.embedded import free_port
from workers.redis_link import Link, is_outage
from workers.redis_link.runner import TooFewReplicas

ADD = "return redis.call('SADD', 'coupontools:s', 'x')"


@pytest.fixture
def refusals(house: House) -> Iterator[Refusals]:
    with Refusals(house.redis, house.server.port) as refusals:
        yield refusals


def failure(client: redis.Redis, *command: object) -> RedisError:
    with pytest.raises(RedisError) as raised:
        client.execute_command(*command)
    return raised.value


@pytest.mark.parametrize(
    "command",
    [("SADD", "coupontools:s", "x"), ("EVAL", ADD, 0)],
    ids=["by itself", "in a script"],
)
def test_what_an_acl_refuses_is_an_outage(refusals: Refusals, command: tuple[object, ...]) -> None:
    """Answered as a fault of ours, a contact that was added would be told as failed."""
    with refusals.refused("sadd"):
        assert is_outage(failure(refusals.client, *command))
    assert refusals.client.execute_command(*command) == 1


@pytest.mark.parametrize("command", [("GET", "other"), ("EVAL", "return redis.call('GET', 'other')", 0)])
def test_a_key_of_others_and_a_renamed_command_are_outages(
    refusals: Refusals, command: tuple[object, ...]
) -> None:
    assert is_outage(failure(refusals.client, *command))
    assert is_outage(failure(refusals.client, "NOSUCH", "coupontools:s"))
    assert is_outage(failure(refusals.client, "EVAL", "return redis.call('NOSUCH', 'coupontools:s')", 0))


@pytest.mark.parametrize(
    "command",
    [
        ("EVAL", "local nothing; return nothing.field", 0),
        ("EVAL", "error('no such op')", 0),
        ("EVAL", "return redis.call('GET', nil)", 0),
        ("EVAL", "return redis.call('SADD', 'coupontools:text')", 0),
        ("EVAL", "return redis.call('SADD', 'coupontools:text', 'x')", 0),
        ("SADD", "coupontools:text", "x"),
        ("SADD", "coupontools:text"),
    ],
)
def test_what_is_proven_to_be_wrong_is_none(house: House, command: tuple[object, ...]) -> None:
    """Tried again, it would hold up everybody for ever."""
    house.redis.set("coupontools:text", "x")
    assert not is_outage(failure(house.redis, *command))


def test_each_reason_is_told_once_an_outage(
    refusals: Refusals, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    link, began = Link(), time.monotonic()
    away = redis.exceptions.ConnectionError(f"Error 111 connecting to 127.0.0.1:{free_port()}")
    with refusals.refused("sadd"):
        plain = failure(refusals.client, "SADD", "coupontools:s", "x")
        scripted = failure(refusals.client, "EVAL", ADD, 0)
    # As after a failover: Redis is back, and a replica is not.
    few = TooFewReplicas("replicas that have the claim: 0; REDIS_WAIT_REPLICAS: 1")
    # As when an operator changes the password: Redis closes every connection, and refuses new ones with the old password.
    house.redis.acl_setuser("stranger", enabled=True, passwords=["+new"])
    with (
        redis.Redis(port=house.server.port, username="stranger", password="old") as stranger,
        pytest.raises(redis.exceptions.AuthenticationError) as raised,
    ):
        stranger.ping()
    password = raised.value
    with caplog.at_level(logging.WARNING):
        for error in (away, away, password, few, plain, scripted, password, away, few, plain):
            for who in ("jobs", "caretaker"):
                link.lost(who, error, began)
        assert [record.message for record in caplog.records] == ["redis.unavailable"] * 4
        for who in ("jobs", "caretaker"):
            link.answered(who)
        link.lost("jobs", plain, time.monotonic())
    told = [record.message for record in caplog.records]
    assert told == ["redis.unavailable"] * 4 + ["redis.recovered", "redis.unavailable"]
