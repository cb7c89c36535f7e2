"""How an attempt ends by what its call said: what stands in Redis, what is logged, and whether it must claim again."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from coupontools import AccountRefused, Call, Coupontools, MayHaveHappened, NotCarriedOut, NotSent, Rejected
from delivery import Ledger, Outcome, Task
from delivery.answer import BATCH_BYTES
from delivery.means import Means
from tests.harness.attempts import POLICY, Lines, Scripted, attempt, event, only
from tests.harness.records import KEYS, record
from tests.harness.still_clock import NOW, StillClock


async def test_a_job_that_was_carried_out_is_answered(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job(correlation_id="c-1", batch_id="spring")
    _, ended = await attempt(means, task)
    assert ended
    assert record(still, means.ledger, task)["state"] == "done"
    told = event(still)
    assert (told["type"], told["id"], told["subject"]) == ("coupontools.contact.added", "job", "con_1")
    assert (told["correlationid"], told["batchid"], told["idempotencykey"]) == ("c-1", "spring", "job")
    assert told["data"] == {"channel": "sms", "attempts": 1, "replayed": False, "reconciled": False}
    outcome, fields = only(lines)
    assert outcome == fields["outcome"] == "succeeded"
    assert (fields["attempt"], fields["api_calls"], fields["correlation_id"]) == (1, 1, "c-1")
    assert not {"error", "error_kind", "error_code", "retry_in_ms", "reconciled"} & fields.keys()
    assert lines.calls == 1
    # Its good answer is noted for the account.
    assert still.all()[KEYS.troubles]["well:sms/add_contact"] == str(NOW)


async def test_a_job_that_was_carried_out_before_is_answered_without_a_call(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    await attempt(means, job())
    again = dataclasses.replace(job(Rejected("never called")), message_id="again")
    _, ended = await attempt(means, again)
    assert ended
    assert [outcome for outcome, _ in lines.lines] == ["succeeded", "replayed"]
    told = json.loads(still.all()[KEYS.events][1]["event"])
    assert told["data"] == {"channel": "sms", "attempts": 0, "replayed": True, "reconciled": False}


@pytest.mark.parametrize(
    ("error", "kind", "code", "message"),
    [
        (Rejected("no such group", code=514, status=200), "rejected", 514, "no such group"),
        (Rejected("no", status=404, details=("a", "b")), "rejected", None, "no: a; b"),
        (Rejected("a fault of ours"), "internal", None, "a fault of ours"),
    ],
)
async def test_what_the_api_refuses_for_good_fails(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task], error: Exception, kind: str,
    code: int | None, message: str,
) -> None:  # fmt: skip
    task = job(error)
    _, ended = await attempt(means, task)
    assert ended
    assert record(still, means.ledger, task) == {}
    data = event(still)["data"]
    assert data["error"] == {"kind": kind, "code": code, "message": message, "details": []}
    assert (data["attempts"], data["job"]) == (1, "add_contact")
    outcome, fields = only(lines)
    assert (outcome, fields["error_kind"], fields.get("error_code"), fields["error"]) == (
        "failed",
        kind,
        code,
        message,
    )
    reason = json.loads(still.all()["dead.r"]["job"])
    assert (reason["kind"], reason["code"], reason["message"], reason["job"]) == (
        kind,
        code,
        message,
        "add_contact",
    )
    # The API works.
    assert "well:sms/add_contact" in still.all()[KEYS.troubles]


@pytest.mark.parametrize(
    ("error", "sends", "state", "pause"),
    [
        (NotSent("no connection", outage=True), False, "waiting", 2000),
        (NotCarriedOut("later", status=429), True, "waiting", 2000),
        (NotCarriedOut("later", status=429, retry_after=5.0), True, "waiting", 5000),
        (MayHaveHappened("broken off", outage=True), True, "unknown", 7000),
        (MayHaveHappened("broken off", retry_after=9.0), True, "unknown", 9000),
        # Nothing had left: it is as safe to call again as it ever was.
        (MayHaveHappened("broken off"), False, "waiting", 2000),
    ],
)
async def test_what_may_be_tried_again_waits_in_redis(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task], error: Any, state: str, pause: int,
    *, sends: bool,
) -> None:  # fmt: skip
    task = job(error, sends=sends)
    _, ended = await attempt(means, task)
    assert ended
    found = record(still, means.ledger, task)
    assert (found["state"], found["attempts"], found["why"]) == (state, "1", str(error))
    assert still.all()["delayed"] == {"job": NOW + pause}
    assert KEYS.events not in still.all()
    outcome, fields = only(lines)
    assert (outcome, fields["retry_in_ms"], fields["error_kind"]) == ("retrying", pause, type(error).__name__)
    assert fields["error"] == str(error)


async def test_while_the_account_is_refused_no_attempt_is_spent(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job(AccountRefused("no such client", code=101, status=200))
    _, ended = await attempt(means, task)
    assert not ended
    found = record(still, means.ledger, task)
    assert (found["state"], found["attempts"]) == ("waiting", "0")
    # It stays in hand, to be parked for the hold that it began.
    assert still.all()["acks"] == {"job"}
    assert json.loads(still.all()[KEYS.holds]["account/refused"])["code"] == "101"
    assert (only(lines)[0], only(lines)[1]["error_code"]) == ("held", 101)


async def test_a_call_that_was_sent_elsewhere_is_read_back_first(
    still: StillClock, means: Means, job: Callable[..., Task]
) -> None:
    task = job(AccountRefused("moved", status=302))
    _, ended = await attempt(means, task)
    assert not ended
    found = record(still, means.ledger, task)
    assert (found["state"], found["attempts"]) == ("unknown", "0")
    assert still.all()["acks"] == {"job"}


async def test_under_a_lease_that_is_lost_nothing_is_sent(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    short = dataclasses.replace(POLICY, cover=1.0, timeout=3000)
    means = Means(Ledger(still, KEYS, short), means.api, means.gate, short, means.log_line)
    task = job()
    _, ended = await attempt(means, task)
    assert ended
    found = record(still, means.ledger, task)
    assert (found["state"], found["attempts"]) == ("waiting", "0")
    outcome, fields = only(lines)
    assert (outcome, fields["retry_in_ms"], fields["api_calls"]) == ("retrying", 0, 0)
    assert lines.calls == 0


async def test_a_message_that_became_another_s_meanwhile_is_interrupted(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    class Taken(Scripted):
        """While its call was under way, its record went to another."""

        async def call(self, api: Coupontools, call: Call) -> Outcome:
            still.redis.hset(means.ledger.record(task), "t", "another")
            raise NotSent("no connection")

    task = job()
    task.job = Taken.model_validate(task.job.model_dump())
    _, ended = await attempt(means, task)
    assert not ended
    assert only(lines)[0] == "interrupted"


async def test_a_worker_that_stops_in_a_call_says_so_and_lets_go(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    released: list[bool] = []
    for sends, state in ((True, "unknown"), (False, "waiting")):
        task = job(asyncio.CancelledError(), sends=sends, name=f"job {state}")
        task.receipt = dataclasses.replace(task.receipt, release=lambda: released.append(True))
        with pytest.raises(asyncio.CancelledError):
            await attempt(means, task)
        assert record(still, means.ledger, task)["state"] == state
        assert lines.lines.pop()[0] == "interrupted"
    assert released == [True, True]


@pytest.mark.parametrize(("sends", "state"), [(True, "unknown"), (False, None)])
async def test_a_fault_of_ours_ends_the_job_only_where_nothing_had_left(
    still: StillClock, means: Means, job: Callable[..., Task], *, sends: bool, state: str | None
) -> None:
    task = job(KeyError("a fault"), sends=sends)
    _, ended = await attempt(means, task)
    assert ended
    assert record(still, means.ledger, task).get("state") == state
    if not sends:
        assert event(still)["data"]["error"]["kind"] == "internal"


class TwoBatches:
    """Pages of which each fills a batch; a test does something between them."""

    count, size = 3, 3 * BATCH_BYTES
    closed = False

    def __init__(self, between: Callable[[], Any] = lambda: None) -> None:
        self._between = between

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for page in range(1, self.count + 1):
            if page == self.count:
                self._between()
            yield {"page": page, "rows": "x" * (BATCH_BYTES + 1)}

    def close(self) -> None:
        self.closed = True


async def test_a_long_listing_is_answered_batch_by_batch(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    pages = TwoBatches()
    task = job(Outcome("contacts.listed", {}, pages=pages))
    _, ended = await attempt(means, task)
    assert ended
    assert pages.closed
    told = [json.loads(each["event"]) for each in still.all()[KEYS.events]]
    assert [(each["id"], each["data"]["page"]) for each in told] == [("job/1", 1), ("job/2", 2), ("job/3", 3)]
    assert [json.loads(page)["page"] for page in still.all()[KEYS.pages("add_contact", task.digest)]] == [
        1,
        2,
        3,
    ]
    assert record(still, means.ledger, task)["state"] == "done"
    assert only(lines)[0] == "succeeded"


async def test_a_long_listing_whose_record_becomes_another_s_tells_no_more(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    """Its worker was believed dead: whoever has the record now answers, from the first page on."""
    task = job()
    key = means.ledger.record(task)
    pages = TwoBatches(lambda: still.redis.hset(key, "t", "another"))
    task = job(Outcome("contacts.listed", {}, pages=pages))
    _, ended = await attempt(means, task)
    assert not ended, "it claims again, and learns what became of it"
    assert pages.closed
    told = [json.loads(each["event"])["data"]["page"] for each in still.all()[KEYS.events]]
    assert told == [1]
    assert lines.lines == []
    assert record(still, means.ledger, task)["state"] == "running"
