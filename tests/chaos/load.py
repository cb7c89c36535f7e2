"""The jobs that other services send during a run, and how each may be answered."""

from __future__ import annotations

import itertools
import json
import threading
import time
from dataclasses import dataclass
from random import Random
from typing import Any

import redis

from tests.harness import House
from tests.harness.house import message

#: How each kind of job may be answered: ends of event types, and kinds of errors.
#: If two jobs add one contact with different names, the one that is carried out second is a conflict, whichever was enqueued first.
ADDED = frozenset({"contact.added", "conflict"})
#: Stores the body and pushes the id in one step.
PUSH = "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) redis.call('RPUSH', KEYS[2], ARGV[1])"
FORGED = frozenset({"webhook.rejected"})
GENUINE = frozenset({"webhook.verified"})


@dataclass(frozen=True)
class Sent:
    """One message."""

    lane: str
    at: float
    #: The events or kinds of errors that may answer it.
    expected: frozenset[str]


class Load:
    """Sends jobs at a steady pace until it is stopped, and goes on when Redis is back.

    ``copies`` is how many replicas must have a job before it counts as sent: a sender must repeat a job that a failover may lose.
    """

    def __init__(self, house: House, draw: Random, per_second: float, *, copies: int = 0) -> None:
        self.sent: dict[str, Sent] = {}
        self.unreadable = 0
        self._house = house
        self._draw = draw
        self._pause = 1 / per_second
        self._copies = copies
        self._group = house.new_group("sms", "Chaos")
        self._email_group = house.new_group("email", "Chaos")
        self._numbers = itertools.count()
        self._phones: list[str] = []
        self._genuine = [house.sandbox.issue_webhook("coupon_claimed") for _ in range(50)]
        self._client = redis.Redis.from_url(house.server.url, socket_timeout=2)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    def stop(self) -> None:
        """Stop once the job that is being sent is in Redis."""
        self._over.set()
        self._thread.join()
        self._client.close()

    def flood(self, count: int) -> None:
        """Enqueue many forged webhooks at once."""
        for _ in range(count):
            self._job(
                "verify_webhook",
                FORGED,
                payload={"id": f"evt_{self._draw.getrandbits(64):020x}", "type": "coupon_claimed"},
            )

    def batch(self, count: int) -> str:
        """Enqueue contacts in one batch, which may be cancelled; return its id."""
        batch_id = f"batch {next(self._numbers)}"
        for _ in range(count):
            self._contact(ADDED | {"cancelled"}, batch_id=batch_id)
        return batch_id

    def _run(self) -> None:
        began = time.monotonic()
        for number in itertools.count():
            # Jobs that were due while Redis was away are sent as soon as it is back.
            if self._over.wait(max(0.0, began + number * self._pause - time.monotonic())):
                return
            self._one()

    def _one(self) -> None:
        draw = self._draw.random()
        if draw < 0.55:
            self._contact(ADDED)
        elif draw < 0.65 and self._phones:
            # Somebody sends a contact again. With another name it is another job.
            name = self._draw.choice([None, "Ada"])
            phone = self._draw.choice(self._phones)
            self._job(
                "add_contact",
                ADDED | {"cancelled"},
                channel="sms",
                group_id=self._group,
                phone=phone,
                first_name=name,
            )
        elif draw < 0.70:
            address = f"ada{next(self._numbers)}@example.com"
            self._job("add_contact", ADDED, channel="email", group_id=self._email_group, email=address)
        elif draw < 0.76:
            self._job(
                "create_group",
                frozenset({"group.created"}),
                channel="sms",
                name=f"Group {next(self._numbers)}",
            )
        elif draw < 0.82:
            self._job("list_groups", frozenset({"groups.listed"}), channel="email")
        elif draw < 0.85:
            self._job(
                "list_contacts", frozenset({"contacts.listed"}), channel="email", group_id=self._email_group
            )
        elif draw < 0.92:
            self._job("verify_webhook", GENUINE, payload=self._draw.choice(self._genuine))
        elif draw < 0.97:
            self._job(
                "add_contact", frozenset({"invalid"}), channel="sms", group_id=self._group, phone="wrong"
            )
        else:
            self._push(
                "contacts",
                f"unreadable-{next(self._numbers)}",
                self._draw.choice(["{", "[]", "x" * (1 << 20) + "x"]),
            )
            self.unreadable += 1

    def _contact(self, expected: frozenset[str], **more: Any) -> None:
        phone = f"+3247{next(self._numbers):07d}"
        self._phones.append(phone)
        bulk = self._draw.random() < 0.3
        self._job(
            "add_contact",
            expected,
            "bulk" if bulk else None,
            channel="sms",
            group_id=self._group,
            phone=phone,
            **more,
        )

    def _job(
        self, actor: str, expected: frozenset[str], lane: str | None = None, /, **arguments: Any
    ) -> None:
        queue, redis_id, body = message(actor, arguments)
        queue = lane or queue
        self.sent[str(body["message_id"])] = Sent(queue, time.time(), expected)
        self._push(queue, redis_id, json.dumps(body | {"queue_name": queue}))

    def _push(self, queue: str, redis_id: str, body: str) -> None:
        """Push the message until Redis has it. A push whose answer was lost is repeated, so the message may be there twice."""
        while True:
            try:
                with self._client.pipeline(transaction=False) as pipeline:
                    pipeline.eval(PUSH, 2, f"dramatiq:{queue}.msgs", f"dramatiq:{queue}", redis_id, body)
                    # WAIT only waits for the writes of its own connection: on a new connection it would return at once.
                    pipeline.execute_command("WAIT", self._copies, 1000)
                    _, copies = pipeline.execute()
                if copies >= self._copies:
                    return
            except redis.RedisError:
                time.sleep(0.1)
