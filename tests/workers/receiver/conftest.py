"""A receiver in a process of its own, as it is deployed."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.harness import House, wait_for
from tests.harness.nursling import Nursery
from tests.harness.served import Served

TOKEN = "a-token-that-is-hard-to-guess"


class Receiver(Served):
    """`coupontools-worker receive`."""

    def __init__(self, environment: dict[str, str], port: int = 0, nursery: Nursery | None = None) -> None:
        super().__init__("receive", "receiver", environment, port, nursery)

    def __enter__(self) -> Self:
        super().__enter__()
        wait_for(lambda: self.status("GET", "/health") == 200, what="the receiver's health")
        return self

    def ask(
        self, method: str, path: str, body: Any = None, *, seconds: float = 20, **options: Any
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Send one request; return the status, headers and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body, **options)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, json.loads(text) if text else {}

    def status(self, method: str, path: str, body: Any = None, **options: Any) -> int:
        """Send one request; return the status of the answer, 0 if there is none."""
        try:
            return self.ask(method, path, body, **options)[0]
        except (OSError, http.client.HTTPException):
            return 0

    def post(self, body: Any, **options: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Post a webhook under the right token."""
        return self.ask("POST", f"/webhooks/{TOKEN}", body, **options)

    def memory(self) -> int:
        """Return the most memory that the process ever had, in bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        (line,) = (line for line in text.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024


def webhook(number: int = 1, **fields: Any) -> bytes:
    """Return the body of a webhook that can be enqueued."""
    return json.dumps({"id": f"evt_{number}", "type": "coupon_validated", **fields}).encode()


def enqueued(house: House) -> dict[str, dict[str, Any]]:
    """Return every message on the queue, by its message id."""
    # Read both keys at one moment: a message may come between two reads.
    with house.redis.pipeline(transaction=True) as pipeline:
        pipeline.hgetall("dramatiq:webhooks.msgs")
        pipeline.llen("dramatiq:webhooks")
        bodies, entries = pipeline.execute()
    messages = [json.loads(body) for body in bodies.values()]
    assert len(bodies) == entries
    return {message["message_id"]: message for message in messages}


@pytest.fixture
def start(house: House) -> Callable[..., Receiver]:
    """Start a receiver of the house, or of another one, with these settings."""

    def start(home: House = house, port: int = 0, **settings: object) -> Receiver:
        return Receiver(home.environment(RECEIVER_TOKEN=TOKEN, **settings), port, home.nursery)

    return start


@pytest.fixture
def receiver(start: Callable[..., Receiver]) -> Iterator[Receiver]:
    """A receiver of the house."""
    with start() as receiver:
        yield receiver
