"""The name by which tests of the command line run a command."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.harness import House
from tests.harness.commands import Done

Command = Callable[..., Done]


@pytest.fixture
def command(house: House) -> Command:
    """Runs a command against the house's Redis, inside the test's own process.

    A worker counts as living for so long that a busy machine does not look like a dead one.
    """
    return partial(house.run, WORKER_HEARTBEAT_SECONDS=20)
