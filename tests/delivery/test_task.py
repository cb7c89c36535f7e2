"""What names a message and its job in Redis, and how long the job may still wait."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from delivery.task import Cost, mark_of, now, short_digest
from tests.harness.records import Make
from tests.harness.still_clock import NOW


@pytest.fixture
def make(still_task: Make) -> Make:
    return still_task


@pytest.mark.parametrize(
    ("message_id", "marks", "mark"),
    [("m-1", 1138, "y0Gp7D3uXJA"), ("m-2", 1040, "lZac4-vvwIQ"), ("m-26", 52, "l_4cW19f25k")],
)
def test_a_message_is_marked_where_every_release_looks_for_it(message_id: str, marks: int, mark: str) -> None:
    assert mark_of(message_id) == (marks, mark)


def test_names_in_redis_are_those_that_every_release_finds(make: Make) -> None:
    assert short_digest("mine") == "3fd30542fe3f61b14bd4a4b2dc0b6fb3"
    task = make("mine")
    assert (task.record_name, task.digest) == ("mine", short_digest("mine"))
    assert len(task.asked) == 20
    assert task.asked == short_digest(f"mine\n{task.fingerprint}")[:20]
    assert (task.marks, task.mark) == mark_of("mine")
    # An idempotency key has no line break, so it cannot be the name of another message's record.
    alone = make("alone", "list_contacts", idempotency_key=None)
    assert alone.key is None
    assert alone.record_name == "message\nalone"


@pytest.mark.parametrize(
    ("patience", "deadline", "left"), [(60.0, NOW, 0.0), (61.5, NOW + 1500, 1.5), (50.0, NOW - 10_000, -10.0)]
)
def test_a_deadline_is_counted_from_the_enqueueing(
    make: Make, monkeypatch: pytest.MonkeyPatch, patience: float, deadline: int, left: float
) -> None:
    monkeypatch.setattr("delivery.task.time.time", lambda: NOW / 1000)
    task = make("job", patience=patience)
    assert task.deadline == deadline
    assert task.seconds_left == pytest.approx(left, abs=0.0005)


def test_a_call_is_named_by_what_it_changes_or_reads(make: Make) -> None:
    contact, listing = make("a"), make("b", "list_contacts")
    assert contact.about == f"add_contact:{contact.digest}"
    # Each read has a record of its own, but two reads of one listing are about the same.
    assert listing.about == "list_contacts:sms:gro_1" == make("c", "list_contacts").about
    assert (contact.listing, listing.listing) == (f"add_contact:{contact.job.listing()}", "none")
    assert (contact.place, listing.place) == ("contacts|sms/add_contact", "reads|sms/list_contacts")


def test_the_holds_that_concern_a_job_are_its_channel_s_and_the_account_s(make: Make) -> None:
    assert make("a").holds == {
        "account/paused",
        "account/refused",
        "account/asked",
        "account/outage",
        "sms/paused",
        "sms/refused",
        "sms/outage/add_contact",
    }


def test_a_task_begins_without_calls_and_attempts(make: Make) -> None:
    task = make("a")
    assert (task.attempts, task.receipt.deaths) == (0, 0)
    cost = dataclasses.asdict(Cost())
    assert cost.pop("fetched") <= now()
    assert cost == {"api_seconds": 0.0, "api_calls": 0, "call_began": 0.0}


def test_a_call_carries_the_record_s_name_and_the_trace(make: Make) -> None:
    task = dataclasses.replace(make("a"), traceparent="00-1-2-01")

    def guard() -> None:
        """Nothing leaves."""

    call: Any = task.call(guard)
    assert (call.before_send, call.idempotency_key, call.traceparent) == (guard, "a", "00-1-2-01")
