"""Stock Dramatiq on either side: its producers enqueue, and its own command line runs the worker."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.redis import RedisBroker

from tests.harness import House, wait_for


@pytest.fixture
def producer(house: House) -> Iterator[dict[str, dramatiq.Actor[Any, Any]]]:
    """Actors as another service declares them, with a name, a queue and nothing else."""
    broker = RedisBroker(url=house.server.url)

    def declare(name: str, queue: str) -> dramatiq.Actor[Any, Any]:
        def stub(**_: Any) -> None:
            raise AssertionError("the body of a producer's actor is never run")

        return dramatiq.actor(stub, actor_name=name, queue_name=queue, broker=broker)

    yield {
        name: declare(name, queue)
        for name, queue in (("add_contact", "contacts"), ("create_group", "groups"), ("list_groups", "reads"))
    }
    broker.close()


def test_send_delay_enqueue_and_unknown_options(
    house: House, producer: dict[str, dramatiq.Actor[Any, Any]]
) -> None:
    worker = house.worker()
    group_id = house.answer(producer["create_group"].send(channel="sms", name="Pizza").message_id)["subject"]
    sent_at = time.time()
    later = producer["add_contact"].send_with_options(
        kwargs={"channel": "sms", "group_id": group_id, "phone": "+32470123456"}, delay=1500
    )
    traced = producer["list_groups"].message_with_options(
        kwargs={"channel": "sms"},
        max_retries=3,
        pipe_target={"actor_name": "list_groups"},
        on_failure="list_groups",
        sentry={"trace": "x"},
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    )
    producer["list_groups"].broker.enqueue(traced)
    now = house.answer(traced.message_id)
    assert now["data"]["groups"] == [{"group_id": group_id, "name": "Pizza"}]
    # Neither a pipeline nor a callback is ever carried out, which is told, and stops nothing.
    (told,) = worker.wait_lines("options.not_done")
    assert told["options"] == ["on_failure", "pipe_target"]
    assert now["traceparent"] == "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    (listing,) = [call for call in house.sandbox.requests() if call["endpoint"] == "sms/grouplist"][-1:]
    assert "a" * 32 in listing["traceparent"]
    assert house.answer(later.message_id)["type"] == "coupontools.contact.added"
    (added,) = [call for call in house.sandbox.requests() if call["endpoint"] == "sms/addcontact"]
    assert datetime.fromisoformat(added["time"]).timestamp() >= sent_at + 1.5


def test_positional_arguments_are_refused_by_name(
    house: House, producer: dict[str, dramatiq.Actor[Any, Any]]
) -> None:
    house.worker()
    sent = producer["list_groups"].send("sms")
    error = house.answer(sent.message_id)["data"]["error"]
    assert (error["kind"], [detail["field"] for detail in error["details"]]) == (
        "invalid",
        ["args", "channel"],
    )


def test_dramatiqs_own_command_line_works_and_drains(house: House) -> None:
    group_id = house.new_group()
    contact = {"channel": "sms", "group_id": group_id}
    first = house.enqueue("add_contact", {**contact, "phone": "+32470123456"})
    house.sandbox.settings(latency_ms=700)
    command = [sys.executable, "-m", "dramatiq", "workers.app", "--processes", "1", "--threads", "1"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--skip-logging"],
            env=house.environment(),
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            assert house.answer(first, 60)["type"] == "coupontools.contact.added"
            second = house.enqueue("add_contact", {**contact, "phone": "+32470123457"})
            # The call is on its way: what is in flight ends before the worker does.
            wait_for(
                lambda: house.sandbox.stats()["endpoints"]["sms/addcontact"]["calls"] == 2,
                what="the second call",
            )
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=240) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    assert len(house.answers(second)) == 1
    assert house.counts()["contacts"] == 2
    assert house.redis.hlen("dramatiq:contacts.msgs") == 0
