"""The pages of a listing's answer: how many, in what order, in how much memory, and each written once."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
import redis

from actors.pages import PAGE_ROWS, SPOOL_BYTES, SpooledPages
from delivery import Outcome
from delivery.answer import BATCH_BYTES, REMEMBERED_BYTES, Progress, done_in_pages
from tests.harness.ledger_steps import KEYS, LedgerSteps
from tests.harness.sync_ledger import finish
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
    # A listing may be gone through again, and says the same.
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
