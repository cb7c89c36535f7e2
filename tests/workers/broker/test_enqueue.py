"""What a producer in this process learns about its enqueue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dramatiq.errors import ConnectionClosed

from workers.broker import DurableBroker


def test_an_enqueue_that_no_redis_answered_raises(
    make_broker: Callable[[str], DurableBroker], tmp_path: Path
) -> None:
    """If it returned, the producer would believe that a job is enqueued which was never written."""
    list_groups = make_broker(f"unix://{tmp_path}/nobody-listens").get_actor("list_groups")
    with pytest.raises(ConnectionClosed):
        list_groups.send(channel="sms")
