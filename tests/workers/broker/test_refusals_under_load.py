"""Each command that the project sends is refused for a while, while jobs of all kinds run: nothing is lost or doubled.

The workers' user may only touch the keys of the two prefixes. The figures are printed (pytest -s).
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections import Counter
from typing import Any

import pytest

from tests.harness import House, wait_for
from tests.harness.refusals import Refusals

LONG = "CHAOS_SCALE" in os.environ
#: How many jobs are enqueued before each command is refused, and as many meanwhile; and for how many seconds it is refused.
JOBS, SECONDS = (240, 1.0) if LONG else (24, 0.4)
NUMBERS = itertools.count()
SUCCESSES = {
    "contact.added",
    "group.created",
    "webhook.verified",
    "webhook.rejected",
    "groups.listed",
    "contacts.listed",
}


def _enqueue(house: House, group: str, count: int) -> list[str]:
    """Enqueue jobs of all kinds, a few of them wrong; return their message ids."""
    ids: list[str] = []
    for _ in range(0, count, 12):
        number = next(NUMBERS)
        contacts: list[dict[str, Any]] = [
            {"channel": "sms", "group_id": group, "phone": f"+3247{number:05d}{one}"} for one in range(8)
        ]
        ids += house.enqueue_many("add_contact", contacts)
        ids += [
            house.enqueue("create_group", channel="sms", name=f"Group {number}"),
            house.enqueue("list_groups", channel="email"),
            house.enqueue("verify_webhook", webhook_id=f"evt_{number}"),
            house.enqueue("add_contact", channel="sms", group_id=group, phone="wrong"),
        ]
    return ids


def _settled(house: House) -> bool:
    queues = ("contacts", "groups", "webhooks", "reads")
    return not any(house.redis.hlen(f"dramatiq:{queue}.msgs") for queue in queues)


@pytest.mark.chaos
def test_each_command_is_refused_once_under_load(house: House) -> None:
    # Slow enough that calls are under way when a refusal begins.
    house.sandbox.settings(latency_ms=50)
    if LONG:
        house.sandbox.faults("mixed", kinds=["bad_gateway", "reset"], probability=0.1, seed=5)
    with Refusals(house.redis, house.server.port) as refusals:
        worker = house.worker(
            "--concurrency", "16", REDIS_URL=refusals.url, WORKER_HEARTBEAT_SECONDS=2, WORKER_PROCESSES=2
        )
        group = house.new_group()
        # A first run gathers the commands. It has an unreadable entry, since setting that aside uses commands that nothing else does.
        refusals.forget_calls()
        ids = _enqueue(house, group, JOBS)
        house.push("contacts", "unreadable", "{")
        house.wait_answered(ids)
        commands = refusals.called()
        longest = 0.0
        for command in commands:
            more = _enqueue(house, group, JOBS)
            with refusals.refused(command):
                end = time.monotonic() + SECONDS
                more += _enqueue(house, group, JOBS)
                wait_for(lambda end=end: time.monotonic() >= end, seconds=60, what="the end of the refusal")
            allowed = time.monotonic()
            house.wait_answered(more, seconds=60)
            longest = max(longest, time.monotonic() - allowed)
            ids += more
        wait_for(lambda: _settled(house), seconds=60, what="nothing left over", show=house.log_tail)
        answers = house.wait_answered(ids)
        doubled = [one for one, events in answers.items() if len(events) > 1 and "/" not in events[0]["id"]]
        wrong = Counter(
            event["type"]
            for events in answers.values()
            for event in events
            if event["type"].removeprefix("coupontools.") not in SUCCESSES
            and event["data"]["error"]["kind"] != "invalid"
        )
        sys.stdout.write(
            f"\n{len(commands)} commands refused for {SECONDS:g} s each over {len(ids)} jobs: "
            f"lost 0, doubled {len(doubled)}, wrong {sum(wrong.values())}, longest recovery {longest:.1f} s\n"
        )
        assert not doubled
        assert not wrong
        assert house.tally()["message.rejected"] == 1
        assert house.counts()["surplus_contacts"] == 0
        assert house.counts()["surplus_groups"] == 0
        told = {line["event"] for line in worker.log_lines()}
        assert not told & {"job.fault", "job.postponed", "job.lost_hold", "worker.died"}
        assert worker.terminate() == 0
