"""What happens around attempts: messages are released, some jobs are answered at once, and each attempt has a log line."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from delivery import Delivery, Task
from delivery import answer as answers
from delivery.log_line import Trouble
from delivery.means import Means
from tests.harness.attempts import ADDED, Lines, only
from tests.harness.holds import put_hold
from tests.harness.records import KEYS
from tests.harness.still_clock import NOW, StillClock


@pytest.fixture
def deliver(means: Means) -> Delivery:
    return Delivery(means.ledger, means.api, means.gate, means.policy, means.log_line)


async def test_a_delivered_message_is_let_go(
    means: Means, deliver: Delivery, job: Callable[..., Task]
) -> None:
    released: list[str] = []
    task = job()
    task.receipt = dataclasses.replace(task.receipt, release=lambda: released.append("deliver"))
    await deliver.deliver(task)
    assert released == ["deliver"]
    assert means.gate.shares.in_flight() == dict.fromkeys(means.gate.shares.in_flight(), 0)


async def test_what_breaks_the_rules_is_answered_at_once_whatever_its_record(
    still: StillClock, deliver: Delivery, lines: Lines, job: Callable[..., Task]
) -> None:
    released: list[str] = []
    for name in ("failed", "answered", "postponed"):
        task = job(name=name)
        task.receipt = dataclasses.replace(task.receipt, release=lambda name=name: released.append(name))
        if name == "failed":
            await deliver.fail_at_once(
                task, answers.Failure("invalid", "no", details=({"field": "x", "message": "y"},))
            )
        elif name == "answered":
            await deliver.answer_at_once(task, ADDED)
        else:
            await deliver.postpone(task)
    assert released == ["failed", "answered", "postponed"]
    found = still.all()
    failed, answered = (json.loads(entry["event"]) for entry in found[KEYS.events])
    assert failed["data"]["error"]["details"] == [{"field": "x", "message": "y"}]
    assert answered["data"] == {"channel": "sms", "attempts": 0, "replayed": False, "reconciled": False}
    assert found["delayed"] == {"postponed": NOW + 60_000}
    assert [outcome for outcome, _ in lines.lines] == ["failed", "succeeded"]
    assert [fields["attempt"] for _, fields in lines.lines] == [0, 0]
    assert not any(key.startswith("coupontools:job:") for key in found)


async def test_a_job_that_meets_a_known_hold_is_parked_without_a_claim(
    still: StillClock, means: Means, deliver: Delivery, lines: Lines, job: Callable[..., Task]
) -> None:
    put_hold(still.redis, KEYS, "sms/refused", retry_at=NOW + 5000)
    released: list[str] = []
    task = job()
    means.gate.hold("sms/refused", task.holds)
    task.cost.api_calls = 1
    task.receipt = dataclasses.replace(task.receipt, release=lambda: released.append("parked"))
    await deliver.deliver(task)
    assert released == ["parked"]
    assert still.all()[f"{KEYS.parked}:sms/refused|{task.place}"] == {"job": task.since}
    assert (only(lines)[0], only(lines)[1]["error"]) == ("held", "sms/refused")


async def test_a_job_of_a_process_that_may_not_call_goes_to_another_at_once(
    still: StillClock, means: Means, deliver: Delivery, lines: Lines, job: Callable[..., Task]
) -> None:
    means.gate.bench(3600.0)
    released: list[str] = []
    task = job()
    task.cost.api_calls = 1
    task.receipt = dataclasses.replace(task.receipt, release=lambda: released.append("benched"))
    await deliver.deliver(task)
    assert released == ["benched"]
    assert still.all()["delayed"] == {"job": NOW}
    assert "acks" not in still.all()
    assert (only(lines)[0], only(lines)[1]["error"]) == (
        "interrupted",
        "this worker may not call, and others may",
    )


async def test_a_job_that_waits_for_its_turn_when_the_worker_stops_has_a_line_if_it_had_called(
    still: StillClock, means: Means, deliver: Delivery, lines: Lines, job: Callable[..., Task]
) -> None:
    means.gate.pace(3600.0, "contacts", "")
    task = job()
    task.cost.api_calls = 1
    before = still.all()
    waiting = asyncio.create_task(deliver.deliver(task))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert still.all() == before
    assert (only(lines)[0], only(lines)[1]["error"]) == ("interrupted", "the worker stops")


async def test_an_answer_under_an_id_that_was_used_is_told_as_none(
    still: StillClock, deliver: Delivery, lines: Lines, job: Callable[..., Task]
) -> None:
    still.redis.set(KEYS.answered("job"), "+another")
    await deliver.answer_at_once(job(), ADDED)
    assert (lines.lines, lines.rejected) == ([], ["contacts"])


async def test_a_worker_that_stops_leaves_its_message_as_it_is(
    still: StillClock, means: Means, deliver: Delivery, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job()
    task.cost.api_calls = 1
    means.gate.drain()
    before = still.all()
    await deliver.deliver(task)
    assert still.all() == before
    assert (only(lines)[0], only(lines)[1]["error"]) == ("interrupted", "the worker stops")


async def test_the_line_of_an_attempt_tells_how_long_it_took(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job waited a minute in the queue, and then took two seconds here, one and a half of them at the API."""
    task = job()
    monkeypatch.setattr("delivery.log_line.now", lambda: 102.0)
    monkeypatch.setattr("delivery.log_line.time.time", lambda: NOW / 1000 + 2)
    task.cost.fetched, task.cost.api_seconds, task.cost.api_calls = 100.0, 1.5, 3
    task.original_id = "first"
    means.log_line.finished(task, "succeeded", 2)
    fields = only(lines)[1]
    assert (fields["queue_ms"], fields["total_ms"], fields["api_ms"], fields["api_calls"]) == (
        60_000,
        2000.0,
        1500.0,
        3,
    )
    assert fields["original_id"] == "first"
    assert "retry_in_ms" not in fields
    # The next attempt counts anew.
    assert (task.cost.api_calls, task.cost.api_seconds) == (0, 0.0)
    # A producer's clock that is ahead makes no negative time.
    task.since, task.cost.fetched = NOW + 9000, 100.0
    means.log_line.finished(task, "succeeded", 2)
    assert lines.lines[1][1]["queue_ms"] == 0


async def test_the_line_of_an_attempt_tells_tenths_of_a_millisecond_and_when_it_is_tried_again(
    means: Means, lines: Lines, job: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = job(batch_id="spring", correlation_id="c-1")
    monkeypatch.setattr("delivery.log_line.now", lambda: 100.012_345)
    task.cost.fetched, task.cost.api_seconds = 100.0, 0.001_234
    trouble = Trouble("NotSent", 514, "no connection", retry_in=1.5)
    with capture_logs() as told:
        means.log_line.finished(task, "retrying", 2, trouble, reconciled=True)
    fields = only(lines)[1]
    assert (fields["total_ms"], fields["api_ms"]) == (12.3, 1.2)
    assert {name: value for name, value in fields.items() if not name.endswith("_ms")} == {
        "job": "add_contact",
        "queue": "contacts",
        "message_id": "job",
        "idempotency_key": task.digest,
        "correlation_id": "c-1",
        "attempt": 2,
        "outcome": "retrying",
        "api_calls": 0,
        "error_kind": "NotSent",
        "error_code": 514,
        "error": "no connection",
        "reconciled": True,
        "batch_id": "spring",
    }
    assert fields["retry_in_ms"] == 1500
    assert told == [{"event": "job.finished", "log_level": "info", **fields}]


@pytest.mark.parametrize(("key", "shown"), [("mine", False), (None, True)])
async def test_a_key_that_a_sender_chose_is_not_shown(
    means: Means, lines: Lines, job: Callable[..., Task], key: str | None, *, shown: bool
) -> None:
    """Senders make keys from telephone numbers and names."""
    task = job(idempotency_key=key)
    means.log_line.finished(task, "succeeded", 1)
    assert only(lines)[1]["idempotency_key"] == (task.key if shown else task.digest)


async def test_a_hold_that_is_over_parks_nobody_and_is_not_believed_any_more(
    still: StillClock, means: Means, deliver: Delivery, lines: Lines, job: Callable[..., Task]
) -> None:
    """This process has learnt of the hold, and another process's probe has ended it since."""
    task = job()
    means.gate.hold("sms/refused", task.holds)
    await deliver.deliver(task)
    assert only(lines)[0] == "succeeded"
    assert means.gate.holds_up(task.holds) is None
    assert KEYS.parked not in still.all()
