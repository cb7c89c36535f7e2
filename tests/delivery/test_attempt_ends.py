"""How an attempt ends after its call: what is in Redis, what is logged, and whether the job must be claimed again."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from coupontools import AccountRefused, Call, Coupontools, MayHaveHappened, NotCarriedOut, NotSent, Rejected
from delivery import Ledger, Outcome, Task
from delivery.answer import BATCH_BYTES, USED_ID
from delivery.attempt import Attempt
from delivery.lease import Lease, OutOfTime
from delivery.means import Means
from tests.harness.attempts import ADDED, POLICY, Lines, Scripted, attempt, event, only
from tests.harness.records import KEYS, Make, put_record, record
from tests.harness.still_clock import NOW, StillClock


async def test_a_job_that_was_carried_out_is_answered(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job(correlation_id="c-1", batch_id="spring")
    _, ended = await attempt(means, task)
    assert ended is True
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
    # The good answer is noted for the account.
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
    assert ended is True
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
    # A refusal for good shows that the API works.
    assert "well:sms/add_contact" in still.all()[KEYS.troubles]


@pytest.mark.parametrize(
    ("error", "sends", "state", "pause"),
    [
        (NotSent("no connection", outage=True), False, "waiting", 2000),
        (NotCarriedOut("later", status=429), True, "waiting", 2000),
        (NotCarriedOut("later", status=429, retry_after=5.0), True, "waiting", 5000),
        (MayHaveHappened("broken off", outage=True), True, "unknown", 7000),
        (MayHaveHappened("broken off", retry_after=9.0), True, "unknown", 9000),
        # No byte had left, so it is safe to call again.
        (MayHaveHappened("broken off"), False, "waiting", 2000),
    ],
)
async def test_what_may_be_tried_again_waits_in_redis(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task], error: Any, state: str, pause: int,
    *, sends: bool,
) -> None:  # fmt: skip
    task = job(error, sends=sends)
    _, ended = await attempt(means, task)
    assert ended is True
    found = record(still, means.ledger, task)
    assert (found["state"], found["attempts"], found["why"]) == (state, "1", str(error))
    assert still.all()["delayed"] == {"job": NOW + pause}
    assert KEYS.events not in still.all()
    outcome, fields = only(lines)
    assert (outcome, fields["retry_in_ms"], fields["error_kind"]) == ("retrying", pause, type(error).__name__)
    assert fields["error"] == str(error)


async def test_of_the_last_reason_so_much_is_kept(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job(NotSent("x" * 501))
    await attempt(means, task)
    assert record(still, means.ledger, task)["why"] == "x" * 500
    # The log has the whole text.
    assert only(lines)[1]["error"] == "x" * 501


async def test_while_the_account_is_refused_no_attempt_is_spent(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job(AccountRefused("no such client", code=101, status=200))
    _, ended = await attempt(means, task)
    assert ended is False
    found = record(still, means.ledger, task)
    assert (found["state"], found["attempts"]) == ("waiting", "0")
    # The message stays in hand, to be parked for the hold that it began.
    assert still.all()["acks"] == {"job"}
    assert json.loads(still.all()[KEYS.holds]["account/refused"])["code"] == "101"
    assert (only(lines)[0], only(lines)[1]["error_code"]) == ("held", 101)


async def test_a_call_that_was_sent_elsewhere_is_read_back_first(
    still: StillClock, means: Means, job: Callable[..., Task]
) -> None:
    task = job(AccountRefused("moved", status=302))
    _, ended = await attempt(means, task)
    assert ended is False
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
    assert ended is True
    found = record(still, means.ledger, task)
    assert (found["state"], found["attempts"]) == ("waiting", "0")
    outcome, fields = only(lines)
    assert (outcome, fields["retry_in_ms"], fields["api_calls"]) == ("retrying", 0, 0)
    assert lines.calls == 0


async def test_a_message_that_became_another_s_meanwhile_is_interrupted(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    class Taken(Scripted):
        """While its call is under way, its record gets another token."""

        async def call(self, api: Coupontools, call: Call) -> Outcome:
            still.redis.hset(means.ledger.record(task), "t", "another")
            raise NotSent("no connection")

    task = job()
    task.job = Taken.model_validate(task.job.model_dump())
    _, ended = await attempt(means, task)
    assert ended is False
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
    assert ended is True
    assert record(still, means.ledger, task).get("state") == state
    if not sends:
        assert event(still)["data"]["error"]["kind"] == "internal"


async def test_a_call_that_is_given_up_at_the_deadline_is_put_back_and_counts_as_an_attempt(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    """A listing that came too slowly changed nothing. The next claim finds that the deadline passed."""
    task = job(OutOfTime())
    _, ended = await attempt(means, task)
    assert ended is True
    found = record(still, means.ledger, task)
    assert (found["state"], found["attempts"]) == ("waiting", "1")
    assert still.all()["delayed"] == {"job": NOW}
    outcome, fields = only(lines)
    assert (outcome, fields["retry_in_ms"], fields["error"]) == ("retrying", 0, "the deadline passed")
    # Such an end shows nothing about the account.
    assert (fields["api_calls"], lines.calls, KEYS.troubles in still.all()) == (0, 0, False)


async def test_a_refusal_that_is_an_answer_is_told_as_one(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    class Asked(Scripted):
        """Takes the API's refusal as its answer."""

        def refused(self, error: Rejected) -> Outcome | None:
            return Outcome("webhook.rejected", {"reason": str(error.code)})

    task = job(Rejected("unknown", code=509, status=200))
    task.job = type("Refusing", (Asked,), {"result": task.job.result}).model_validate(task.job.model_dump())  # type: ignore[attr-defined]
    _, ended = await attempt(means, task)
    assert ended is True
    assert (event(still)["type"], event(still)["data"]["reason"]) == ("coupontools.webhook.rejected", "509")
    assert (only(lines)[0], "dead" in still.all()) == ("succeeded", False)
    assert "well:sms/add_contact" in still.all()[KEYS.troubles]


async def test_an_id_that_was_used_while_its_call_was_under_way_is_set_aside_and_not_told_as_a_success(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    class Late(Scripted):
        """While its call is under way, another message with its id is answered."""

        async def call(self, api: Coupontools, call: Call) -> Outcome:
            still.redis.set(KEYS.answered("job"), "+another")
            return await super().call(api, call)

    task = job()
    task.job = Late.model_validate(task.job.model_dump())
    _, ended = await attempt(means, task)
    assert ended is True
    assert event(still)["type"] == "coupontools.message.rejected"
    assert [(outcome, fields["error"]) for outcome, fields in lines.lines] == [("interrupted", USED_ID)]
    assert lines.rejected == ["contacts"]
    # The outcome of its call is on record all the same.
    assert record(still, means.ledger, task)["state"] == "done"


@pytest.mark.parametrize(
    ("actor", "kept"), [("add_contact", False), ("list_contacts", True)], ids=["an effect", "a listing"]
)
async def test_only_a_call_that_changes_nothing_may_outlast_its_lease(
    still: StillClock,
    still_task: Make,
    means: Means,
    monkeypatch: pytest.MonkeyPatch,
    actor: str,
    *,
    kept: bool,
) -> None:
    entered: list[bool] = []
    keep = Lease.kept

    def noted(self: Lease) -> Any:
        entered.append(True)
        return keep(self)

    monkeypatch.setattr(Lease, "kept", noted)
    task = still_task("job", actor)

    async def call(_: Any, __: Coupontools, ___: Call) -> Outcome:
        return ADDED

    task.job = type("Called", (type(task.job),), {"call": call}).model_validate(task.job.model_dump())  # type: ignore[attr-defined]
    assert (await attempt(means, task))[1]
    assert bool(entered) is kept


async def test_what_calls_took_is_added_up(
    still: StillClock, means: Means, job: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Attempt(means, job())
    for began, ended, calls, seconds in ((100.0, 101.5, 1, 1.5), (110.0, 112.0, 2, 3.5)):
        moments = iter((began, ended))
        monkeypatch.setattr("delivery.attempt.now", lambda moments=moments: next(moments))
        with tried._measured():
            pass
        cost = tried.task.cost
        assert (cost.call_began, cost.api_calls, cost.api_seconds) == (began, calls, seconds)


@pytest.mark.parametrize(
    ("held", "probe", "missed", "calls"),
    [
        (False, False, False, 1),
        (True, False, False, 0),
        # A probe calls although its hold is known.
        (True, True, False, 1),
        (False, False, True, 0),
        (True, True, True, 0),
    ],
)
async def test_a_job_sleeps_until_its_slot_and_then_looks_whether_it_may_still_call(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task], monkeypatch: pytest.MonkeyPatch,
    *, held: bool, probe: bool, missed: bool, calls: int,
) -> None:  # fmt: skip
    policy = dataclasses.replace(POLICY, rate=10)
    means = dataclasses.replace(means, ledger=Ledger(still, KEYS, policy), policy=policy)
    task = job()
    tried = Attempt(means, task)
    claim = await means.ledger.claim(task, tried.token)
    tried.claim = dataclasses.replace(claim, wait=150.0, probe=probe)
    monkeypatch.setattr("delivery.lease.now", lambda: 1000.0)
    tried.lease = Lease(
        means.ledger, policy, task, tried.token, claimed_at=999.0 if missed else 1000.0, claim=tried.claim
    )
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if held:
            means.gate.hold("account/refused", task.holds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert await tried._call() is bool(calls)
    assert (slept, lines.calls) == ([0.15], calls)
    if not calls:
        # No attempt is spent, and the message stays in hand.
        found = record(still, means.ledger, task)
        assert (found["state"], found["attempts"]) == ("waiting", "0")
        assert still.all()["acks"] == {"job"}
        assert KEYS.troubles not in still.all()


class TwoBatches:
    """Three pages, each of which fills a batch; ``between`` is called before the last one."""

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
    assert ended is True
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
    """Its worker was taken for dead, and the worker that has the record now answers from the first page on."""
    task = job()
    key = means.ledger.record(task)
    pages = TwoBatches(lambda: still.redis.hset(key, "t", "another"))
    task = job(Outcome("contacts.listed", {}, pages=pages))
    _, ended = await attempt(means, task)
    assert ended is False, "it claims again, and learns what became of it"
    assert pages.closed
    assert KEYS.events not in still.all()
    assert lines.lines == []
    assert record(still, means.ledger, task)["state"] == "running"


async def test_whoever_claims_a_listing_that_stands_ready_writes_on_without_a_call(
    still: StillClock, means: Means, lines: Lines, job: Callable[..., Task]
) -> None:
    task = job()
    put_record(
        still, means.ledger, task, s="running", t="dead", cl=NOW - 9000, le=NOW - 1, tl="job", o='{"pages":2}'
    )
    staged = KEYS.staged("add_contact", task.digest)
    for page in ("1", "2"):
        still.redis.rpush(staged, "listed", page * (BATCH_BYTES + 1))
    _, ended = await attempt(means, task)
    assert ended is True
    assert [each["event"][0] for each in still.all()[KEYS.events]] == ["1", "2"]
    found = record(still, means.ledger, task)
    assert (found["state"], found["outcome"]) == ("done", '{"pages":2}')
    assert only(lines)[0] == "succeeded"
