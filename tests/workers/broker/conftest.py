"""Brokers inside the test process, for tests of a broker's parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import dramatiq
import pytest

from config import Settings
from tests.harness import House
from workers.broker import DurableBroker

MakeBroker = Callable[[str], DurableBroker]


@pytest.fixture
def make_broker() -> Iterator[MakeBroker]:
    """Makes a broker for the Redis at a URL; it has the actor ``list_groups`` in the queue ``reads``."""
    with ExitStack() as stack:

        def make(url: str) -> DurableBroker:
            settings = Settings(
                redis_url=url, coupontools_client_id="id", coupontools_client_secret="made-up", _env_file=None
            )
            broker = stack.enter_context(closing(DurableBroker(settings, concurrency=12)))
            dramatiq.actor(lambda **_: None, actor_name="list_groups", queue_name="reads", broker=broker)
            return broker

        yield make


@pytest.fixture
def broker(house: House, make_broker: MakeBroker) -> DurableBroker:
    """A broker for the house's Redis."""
    return make_broker(house.server.url)
