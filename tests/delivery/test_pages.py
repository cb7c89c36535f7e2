"""The pages of a listing's answer: how many, in what order, in how much memory, and each written once."""

from __future__ import annotations

import itertools
import json
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis

from actors.pages import PAGE_ROWS, SPOOL_BYTES, SpooledPages
from delivery import Ledger, Outcome, Script, Task
from delivery.answer import BATCH_BYTES, REMEMBERED_BYTES, STAGED, Progress, done_in_pages
from delivery.settlement import Done, MorePages, Replayed
from tests.harness.ledger_steps import KEYS, LedgerSteps
from tests.harness.records import COVER_MS
from tests.harness.still_clock import StillClock
from tests.harness.sync_ledger import LONG_POLICY, finish
from workers.embedded import EmbeddedRedis


def row(number: int) -> dict[str, Any]:
    return {
        "contact_id": f"con_{number}",
        "phone": f"+3247{number:08d}",
        "first_name": "Zoë\n",
        "last_name": None,
    }


def spooled(count: int) -> SpooledPages:
    pages = SpooledPages("contacts")
    for number in range(count):
        pages.add(row(number))
    pages.common = {"channel": "sms"}
    pages.finish()
    return pages


@pytest.mark.parametrize(
    ("rows", "sizes"), [(0, [0]), (1, [1]), (499, [499]), (500, [500]), (501, [500, 1]), (1500, [500] * 3)]
)
def test_pages(rows: int, sizes: list[int]) -> None:
    pages = spooled(rows)
    assert pages.count == len(sizes)
    told = list(pages)
    assert [len(page["contacts"]) for page in told] == sizes
    assert [page["page"] for page in told] == list(range(1, len(sizes) + 1))
    assert {(page["pages"], page["channel"]) for page in told} == {(len(sizes), "sms")}
    assert [entry for page in told for entry in page["contacts"]] == [row(number) for number in range(rows)]
    # The pages may be read once more, and are the same.
    assert list(pages) == told
    pages.close()


@pytest.mark.parametrize("rows", [80_000, pytest.param(500_000, marks=pytest.mark.chaos)])
def test_many_rows_in_bounded_memory(rows: int) -> None:
    entry = row(1)
    pages = SpooledPages("contacts")
    tracemalloc.start()
    try:
        for _ in range(rows):
            pages.add(entry)
        pages.finish()
        count = total = 0
        for page in pages:
            count += 1
            total += len(page["contacts"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = pages.size
    pages.close()
    assert (count, total) == (rows // PAGE_ROWS, rows)
    assert size > 2 * SPOOL_BYTES
    assert peak < 4 * SPOOL_BYTES


@pytest.fixture
def steps(_redis_server: EmbeddedRedis) -> Any:
    with redis.Redis(port=_redis_server.port, socket_timeout=30) as client:
        yield LedgerSteps(client, "list_contacts")


def claimed(steps: LedgerSteps) -> Any:
    steps.enqueue("a")
    steps.fetch("w1", 1)
    steps.claim(steps.messages[-1], "w1")
    return steps.flights[-1]


@pytest.mark.parametrize("rows", [1, 30_000, 150_000], ids=["one page", "batches", "too long to remember"])
def test_each_page_is_written_once_though_every_reply_is_lost(steps: LedgerSteps, rows: int) -> None:
    pages = spooled(rows)
    flight = claimed(steps)
    outcome = Outcome("contacts.listed", {}, subject="gro_1", pages=pages)
    batches = list(done_in_pages(flight.task, outcome, pages, Progress(attempts=1)))
    for batch in batches[:-1]:
        for _ in range(2):
            assert finish(steps.ledger.settle(flight.task, flight.token, batch)).ours
    while finish(steps.ledger.settle(flight.task, flight.token, batches[-1])).more:
        pass
    assert finish(steps.ledger.settle(flight.task, flight.token, batches[-1])).ours
    entries: Any = steps.client.xrange(KEYS.events)
    events = [json.loads(fields[b"event"]) for _, fields in entries]
    assert [event["id"] for event in events] == [f"message-0/{page}" for page in range(1, pages.count + 1)]
    assert sum(len(event["data"]["contacts"]) for event in events) == rows
    remembered = finish(steps.ledger.pages(flight.task))
    if pages.size > REMEMBERED_BYTES:
        assert remembered == []
    else:
        assert [json.loads(page)["page"] for page in remembered] == list(range(1, pages.count + 1))
    assert (len(batches) > 1) == (pages.size > BATCH_BYTES)
    assert not steps.client.hlen(steps.queue.bodies)
    pages.close()


def test_a_listing_that_a_second_worker_begins_anew_replaces_what_the_first_had_written(
    steps: LedgerSteps,
) -> None:
    pages = spooled(30_000)
    first = claimed(steps)
    outcome = Outcome("contacts.listed", {}, subject="gro_1", pages=pages)
    batches = list(done_in_pages(first.task, outcome, pages, Progress(attempts=1)))
    for batch in batches[:2]:
        assert finish(steps.ledger.settle(first.task, first.token, batch)).ours
    steps.lease_ends("a", long_ago=True)
    steps.take_over("w1")
    steps.fetch("w2", 1)
    steps.claim(first.message, "w2")
    second = steps.flights[-1]
    assert not finish(steps.ledger.settle(first.task, first.token, batches[2])).ours
    for batch in batches[:-1]:
        assert finish(steps.ledger.settle(second.task, second.token, batch)).ours
    while finish(steps.ledger.settle(second.task, second.token, batches[-1])).more:
        pass
    told: Any = steps.client.xrange(KEYS.events)
    assert [json.loads(fields[b"event"])["data"]["page"] for _, fields in told] == list(
        range(1, pages.count + 1)
    )
    remembered = finish(steps.ledger.pages(second.task))
    assert [json.loads(page)["page"] for page in remembered] == list(range(1, pages.count + 1))
    pages.close()


class OnePageAStep(StillClock):
    """Runs scripts that write one page of a long listing at a time."""

    def run_now(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        """Run a script, and at random once more, as if its reply had been lost."""
        script = replace(script, source=script.source.replace("AT_ONCE = 1024 * 1024", "AT_ONCE = 1"))
        answer = super().run_now(script, keys, args)
        return super().run_now(script, keys, args) if self.loses_reply() else answer

    loses_reply: Callable[[], bool]


@dataclass(eq=False)
class InHand:
    """The settlements that a worker is about to make for a message, at any time or never."""

    task: Task
    token: str
    settlements: list[MorePages | Done | Replayed]


class Listers:
    """Two messages under one key, and any number of workers that list, die, freeze, and are taken for dead."""

    PAGES = 3

    def __init__(self, still: OnePageAStep, ledger: Ledger, tasks: list[Task]) -> None:
        self.still, self.ledger, self.tasks = still, ledger, tasks
        self.in_hand: list[InHand] = []
        self._tokens, self._listings = itertools.count(1), itertools.count(1)

    def waiting(self) -> list[Task]:
        return [task for task in self.tasks if self.still.redis.hexists("bodies", task.receipt.id)]

    def claim(self, task: Task) -> None:
        self.still.redis.zrem("delayed", task.receipt.id)
        self.still.redis.sadd("acks", task.receipt.id)
        token = f"t{next(self._tokens)}"
        verb = finish(self.ledger.claim(task, token)).verb
        settlements: list[MorePages | Done | Replayed] = []
        if verb == "call":
            listing = next(self._listings)
            kept = [json.dumps({"listing": listing, "page": page}) for page in range(self.PAGES)]
            settlements += [
                MorePages(events=[(task.message_id, page)], pages=[page], batch=number)
                for number, page in enumerate(kept)
            ]
            settlements.append(replace(STAGED, outcome=json.dumps({"pages": self.PAGES})))
        elif verb == "stands":
            settlements.append(STAGED)
        elif verb == "replay":
            remembered = finish(self.ledger.pages(task))
            settlements.append(Replayed(events=[(task.message_id, page.decode()) for page in remembered]))
        else:
            assert verb in {"deferred", "answered", "gone"}
        if settlements:
            self.in_hand.append(InHand(task, token, settlements))

    def go_on(self, hand: InHand) -> None:
        settled = finish(self.ledger.settle(hand.task, hand.token, hand.settlements[0]))
        if not settled.more:
            del hand.settlements[0]
        if not (settled.ours and hand.settlements):
            self.in_hand.remove(hand)

    def told(self, task: Task) -> list[dict[str, int]]:
        entries = self.still.all().get(KEYS.events, [])
        return [json.loads(entry["event"]) for entry in entries if entry["type"] == task.message_id]


@pytest.mark.parametrize("seed", range(25))
def test_whoever_dies_when_each_message_has_all_pages_of_one_listing_in_order(
    still: StillClock, still_task: Callable[..., Task], seed: int
) -> None:
    """Check by random steps of the scripts what docs/proof/listing.pml proves for the model."""
    draw = random.Random(seed)  # noqa: S311 - steps, no secrets
    once = OnePageAStep(still.redis)
    once.loses_reply = lambda: draw.random() < 0.15
    tasks = [
        still_task(name, "list_contacts", idempotency_key="mine", patience=10_000_000.0) for name in "ab"
    ]
    listers = Listers(once, Ledger(once, KEYS, LONG_POLICY), tasks)
    for _ in range(40):
        step = draw.choice(("claim", "claim", "go on", "go on", "go on", "go on", "die", "lease"))
        if step == "claim" and listers.waiting():
            listers.claim(draw.choice(listers.waiting()))
        elif step == "go on" and listers.in_hand:
            listers.go_on(draw.choice(listers.in_hand))
        elif step == "die" and listers.in_hand:
            listers.in_hand.remove(draw.choice(listers.in_hand))
        elif step == "lease":
            once.now += COVER_MS + 1000
    # The first round answers one message, the second the other.
    listers.in_hand.clear()
    for _ in range(2):
        once.now += COVER_MS + 1000
        for task in listers.waiting():
            listers.claim(task)
            for _ in range(2 * Listers.PAGES + 2):
                if listers.in_hand:
                    listers.go_on(listers.in_hand[-1])
    assert not listers.waiting()
    for task in tasks:
        told = listers.told(task)
        assert [page["page"] for page in told] == list(range(Listers.PAGES))
        assert len({page["listing"] for page in told}) == 1
    assert not {"acks", KEYS.staged("list_contacts", tasks[0].digest)}.intersection(once.all())
