"""Fixtures for all rooms: one Redis and one sandbox per test process, empty at each test's start."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import redis
from hypothesis import HealthCheck, settings

from sandbox import Sandbox
from tests.harness import House
from tests.harness.commands import Done, run_process
from tests.harness.nursling import Nursery
from tests.harness.ports import keep_closed
from tests.harness.still_clock import StillClock
from workers.embedded import EmbeddedRedis

# While pytest collects the tests, Python's garbage collector would scan them again and again, and find nothing to free.
gc.disable()

# A shell script that starts the tests in the background makes them ignore SIGINT, and every process that they start would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# On a busy machine Hypothesis would call examples too slow, whatever the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_finish() -> None:
    """Switch the garbage collector on again, but let it skip the tests themselves."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis("--appendfsync", "no") as server:
        yield server


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def _nursery() -> Iterator[Nursery | None]:
    # Only on Linux do the system's libraries survive a fork.
    if sys.platform != "linux":
        yield None
        return
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def as_process(_nursery: Nursery | None) -> Callable[..., Done]:
    """Run a command to its end as a process of its own, with only the environment given."""
    return partial(run_process, nursery=_nursery)


@pytest.fixture
def house(_redis_server: EmbeddedRedis, _sandbox: Sandbox, _nursery: Nursery | None) -> Iterator[House]:
    """A house with an empty Redis and an empty sandbox; Redis must be left running."""
    _sandbox.reset(settings=True)
    with House(_redis_server, _sandbox, _nursery) as house:
        house.redis.flushall()
        yield house


@pytest.fixture
def fragile_house(_sandbox: Sandbox, _nursery: Nursery | None) -> Iterator[House]:
    """A house whose Redis a test may kill, freeze and start again."""
    _sandbox.reset(settings=True)
    with EmbeddedRedis() as server, House(server, _sandbox, _nursery) as house:
        yield house


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens until the test starts a server there; until then no other program gets this port."""
    with keep_closed() as port:
        yield port


@pytest.fixture(scope="session")
def _quick_redis_server() -> Iterator[EmbeddedRedis]:
    """A Redis that does not write its commands to disk: for tests of what scripts do, not of what survives a crash."""
    with EmbeddedRedis("--appendonly", "no") as server:
        yield server


@pytest.fixture
def still(_quick_redis_server: EmbeddedRedis) -> Iterator[StillClock]:
    """An empty Redis whose scripts read a clock that only the test moves."""
    with redis.Redis.from_url(_quick_redis_server.url, socket_timeout=30) as client:
        client.flushall()
        yield StillClock(client)
