"""If Redis refuses one command of a claim, a settlement or a hold's script, nothing is lost, and no event is written twice."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from redis.exceptions import ResponseError

from config.keys import Keys
from delivery import Ledger, Task, Unknown, Verdict
from delivery.account import it_works, pausing
from delivery.answer import STAGED
from delivery.retry import Rests
from delivery.settlement import (
    Done,
    EndedUnknown,
    Failed,
    Lost,
    MorePages,
    Postponed,
    Replayed,
    SetAside,
    Settlement,
    Signal,
    Waiting,
)
from tests.harness import House
from tests.harness.holds import put_hold
from tests.harness.refusals import Refusals, contents
from tests.harness.sync_ledger import LONG_POLICY, SyncRunner, finish, now_ms
from tests.harness.unparking import unpark

KEYS = Keys()
EVENT = ("coupontools.type", "{}")
REFUSED = Signal(word="refused", call="add_contact", channel="sms", code="1000")
#: Two messages of one job: the second waits while the first is under way.
SAME = {"idempotency_key": "one", "phone": "+32470000001"}
#: What may differ after a repeat: a slot of the pace that was reserved, and how often failures were counted.
NOT_COMPARED = {KEYS.pace, KEYS.troubles}


@pytest.fixture
def refusals(house: House) -> Iterator[Refusals]:
    with Refusals(house.redis, house.server.port) as refusals:
        yield refusals


class Case:
    """A job that a worker has outstanding, and two ledgers: `ledger` may send every command, `refused` may be refused some."""

    def __init__(self, house: House, refusals: Refusals, task: Callable[..., Task]) -> None:
        self.house = house
        policy = dataclasses.replace(LONG_POLICY, read_back_after=0.0)
        self.ledger = Ledger(SyncRunner(house.redis), KEYS, policy)
        self.refused = Ledger(SyncRunner(refusals.client), KEYS, policy)
        self._refusals = refusals
        self._task = task

    def job(self, name: str = "job", actor: str = "add_contact", **given: Any) -> Task:
        """Return a job with the real names of Redis's keys."""
        job = self._task(name, actor, **given)
        queue = KEYS.queue(job.queue)
        acks = KEYS.acks("w1", job.queue)
        self.house.redis.delete("acks", "bodies")
        self.house.redis.sadd(acks, name)
        self.house.redis.hset(queue.bodies, name, "{}")
        receipt = dataclasses.replace(
            job.receipt,
            acks=acks,
            bodies=queue.bodies,
            delayed=queue.delayed,
            dead=queue.dead,
            dead_bodies=queue.dead_bodies,
            dead_reasons=queue.dead_reasons,
        )
        return dataclasses.replace(job, receipt=receipt, fingerprint=job.fingerprint, key=job.key)

    def each_command_refused(
        self, prepare: Callable[[], Any], step: Callable[[Any], Any], after: Callable[[], Any] = lambda: None
    ) -> None:
        """Take the step with each of its commands refused in turn, then repeat it: Redis must end up as if nothing had been refused."""
        step(self._fresh(prepare))
        prepared = self._fresh(prepare)
        self._refusals.forget_calls()
        step(prepared)
        commands = [command for command in self._refusals.called() if not command.startswith("eval")]
        after()
        wanted = self.left()
        assert commands
        for command in commands:
            prepared = self._fresh(prepare)
            with self._refusals.refused(command):
                with pytest.raises(ResponseError, match=r"can't run this command|NOPERM"):
                    step(prepared)
                # A repeat may find that this command is not needed any more.
                for _ in range(2):
                    with suppress(ResponseError):
                        step(prepared)
            step(prepared)
            after()
            assert self.left() == wanted, f"{command} refused, then allowed"

    def _fresh(self, prepare: Callable[[], Any]) -> Any:
        self.house.redis.flushall()
        return prepare()

    def left(self) -> dict[str, Any]:
        """Return what is in Redis, as far as it is compared."""
        held = {key: held for key, held in contents(self.house.redis).items() if key not in NOT_COMPARED}
        # A repeat may come in the next minute.
        minutes = [held.pop(key) and key for key in list(held) if key.startswith(KEYS.minutes)]
        answered: Counter[bytes] = Counter()
        for key in minutes:
            answered.update({name: int(count) for name, count in self.house.redis.hgetall(key).items()})
        return held | {name.decode(): count for name, count in answered.items() if b"|first" not in name}


@pytest.fixture
def case(house: House, refusals: Refusals, task: Callable[..., Task]) -> Case:
    return Case(house, refusals, task)


SETTLEMENTS: dict[str, tuple[str, Settlement, Signal | None]] = {
    "done": (
        "add_contact",
        Done(events=[EVENT], outcome="{}"),
        Signal(word="well", call="add_contact", channel="sms"),
    ),
    "done, a group": ("create_group", Done(events=[EVENT], outcome="{}", claim="gro_1"), None),
    "done, pages": ("list_contacts", Done(events=[EVENT, EVENT], outcome="{}", pages=["{}", "{}"]), None),
    "done, not remembered": ("list_contacts", Done(events=[EVENT], outcome=None, pages=[]), None),
    "more pages": ("list_contacts", MorePages(events=[EVENT], pages=["{}"], batch=0), None),
    "staged pages": ("list_contacts", dataclasses.replace(STAGED, outcome="{}"), None),
    "failed": ("add_contact", Failed(events=[EVENT], reason="{}"), None),
    "failed, a group": ("create_group", Failed(events=[EVENT], reason="{}"), None),
    "failed, never claimed": ("add_contact", Failed(events=[EVENT], reason="{}", owned=False), None),
    "unknown": ("add_contact", EndedUnknown(events=[EVENT], reason="{}"), None),
    "replay": ("add_contact", Replayed(events=[EVENT]), None),
    "set aside": ("add_contact", SetAside(events=[EVENT], reason="{}"), None),
    "postponed": ("add_contact", Postponed(delay=5000), None),
}


@pytest.mark.parametrize("name", SETTLEMENTS)
def test_of_a_settlement(case: Case, name: str) -> None:
    actor, settlement, signal = SETTLEMENTS[name]

    def claimed() -> Task:
        job = case.job(actor=actor, batch_id="spring", batch_size=1, reply_to="shop")
        finish(case.ledger.claim(job, "t1"))
        if job.job.named:
            finish(case.ledger.renew(job, "t1", []))
        if name == "staged pages":
            finish(case.ledger.settle(job, "t1", MorePages(events=[EVENT, EVENT], pages=[], batch=0)))
        return job

    case.each_command_refused(claimed, lambda job: finish(case.refused.settle(job, "t1", settlement, signal)))


@pytest.mark.parametrize("settlement", [Waiting(delay=5000, uncount=True), Lost(delay=5000)])
def test_of_a_settlement_that_puts_off(case: Case, settlement: Settlement) -> None:
    """A repeat may find everything written but the end: the message must still wait, and no attempt may be given back twice."""

    def claimed() -> Task:
        job = case.job()
        finish(case.ledger.claim(job, "t1"))
        return job

    case.each_command_refused(claimed, lambda job: finish(case.refused.settle(job, "t1", settlement)))


def test_of_a_settlement_that_begins_a_hold(case: Case) -> None:
    """The hold must begin, and its event be written once, even if the event was refused at first."""

    def claimed() -> Task:
        job = case.job()
        finish(case.ledger.claim(job, "t1"))
        return job

    waiting = Waiting(uncount=True, keep=True)
    case.each_command_refused(
        claimed,
        lambda job: finish(case.refused.settle(job, "t1", waiting, REFUSED)),
        after=lambda: unpark(case.house.redis, KEYS),
    )
    assert case.house.redis.xlen(KEYS.events) == 1


def test_of_the_claims(case: Case) -> None:
    case.each_command_refused(case.job, lambda job: finish(case.refused.claim(job, "t1")))

    def busy() -> Task:
        finish(case.ledger.claim(case.job("first", **SAME), "t1"))
        return case.job("second", **SAME)

    case.each_command_refused(busy, lambda job: finish(case.refused.claim(job, "t2")))

    def held() -> Task:
        put_hold(case.house.redis, KEYS, "sms/paused")
        return case.job()

    case.each_command_refused(held, lambda job: finish(case.refused.claim(job, "t1")))
    case.each_command_refused(held, lambda job: finish(case.refused.park("sms/paused", [job])))

    def answered() -> Task:
        job = case.job()
        finish(case.ledger.claim(job, "t1"))
        finish(case.ledger.settle(job, "t1", Done(events=[EVENT], outcome="{}")))
        # A mark is renewed if a second has passed since. Make it old, so that this does not depend on when the test runs.
        mark = case.house.redis.hget(KEYS.marks(job.marks), job.mark) or b""
        case.house.redis.hset(KEYS.marks(job.marks), job.mark, b"%08x" % (int(mark[:8], 16) - 60) + mark[8:])
        return case.job()

    case.each_command_refused(answered, lambda job: finish(case.refused.claim(job, "t2")))

    def lost() -> Task:
        job = case.job()
        finish(case.ledger.claim(job, "t1"))
        case.house.redis.hset(case.ledger.record(job), "le", 1)
        return job

    case.each_command_refused(lost, lambda job: finish(case.refused.claim(job, "t2")))


@pytest.mark.parametrize("word", ["found", "absent", "undecided"])
def test_of_a_verdict(case: Case, word: Any) -> None:
    """The message that waits for the verdict must be woken, whatever was written before the refusal."""

    def lost() -> tuple[Task, Verdict]:
        job = case.job()
        finish(case.ledger.claim(job, "t1"))
        finish(case.ledger.settle(job, "t1", Lost(delay=60_000)))
        record = case.ledger.record(job)
        ended = int(case.house.redis.hget(record, "en") or 0)
        case.house.redis.set(KEYS.reader(job.listing), "t2")
        return job, Verdict(Unknown(record, ended, "", ()), word, {})

    def judge(told: tuple[Task, Verdict]) -> None:
        job, verdict = told
        finish(case.refused.unknowns.judge(job.listing, "t2", [verdict], Rests(1, 10, 10)))

    case.each_command_refused(lost, judge)
    (_, due), *_ = case.house.redis.zrange(KEYS.queue("contacts").delayed, 0, -1, withscores=True)
    assert due


def test_of_holds_that_end(case: Case) -> None:
    def held() -> None:
        put_hold(case.house.redis, KEYS, "sms/asked", length=20_000)
        put_hold(case.house.redis, KEYS, "sms/paused")
        case.house.redis.sadd(KEYS.parked, "account/asked|contacts|add_contact")
        case.house.redis.zadd(f"{KEYS.parked}:account/asked|contacts|add_contact", {"a": 1, "b": 2})

    case.each_command_refused(held, lambda _: unpark(case.refused._runner._threads.client, KEYS))

    def resume(_: None) -> None:
        script, keys, arguments = pausing(KEYS, 1000, word="resume", scope="sms")
        finish(case.refused._runner.run(script, keys, arguments))

    case.each_command_refused(held, resume)
    released = [fields[b"type"] for _, fields in case.house.redis.xrange(KEYS.events)]
    assert released == [b"coupontools.account.released"]


def busy(case: Case) -> Callable[[], Any]:
    finish(case.ledger.claim(case.job("first", **SAME), "t1"))
    second = case.job("second", **SAME)
    return lambda: finish(case.refused.claim(second, "t2"))


def held(case: Case) -> Callable[[], Any]:
    put_hold(case.house.redis, KEYS, "sms/paused")
    job = case.job()
    return lambda: finish(case.refused.claim(job, "t1"))


def parked(case: Case) -> Callable[[], Any]:
    put_hold(case.house.redis, KEYS, "sms/paused")
    job = case.job()
    return lambda: finish(case.refused.park("sms/paused", [job]))


def answered(case: Case) -> Callable[[], Any]:
    job = case.job()
    finish(case.ledger.claim(job, "t1"))
    finish(case.ledger.settle(job, "t1", Done(events=[EVENT], outcome="{}")))
    again = case.job()
    return lambda: finish(case.refused.claim(again, "t2"))


def lease_over(case: Case) -> Callable[[], Any]:
    job = case.job()
    finish(case.ledger.claim(job, "t1"))
    case.house.redis.hset(case.ledger.record(job), "le", 1)
    return lambda: finish(case.refused.claim(job, "t2"))


def settled(settlement: Settlement) -> Callable[[Case], Callable[[], Any]]:
    def prepare(case: Case) -> Callable[[], Any]:
        job = case.job()
        finish(case.ledger.claim(job, "t1"))
        return lambda: finish(case.refused.settle(job, "t1", settlement))

    return prepare


def over(case: Case) -> Callable[[], Any]:
    place = "account/asked|contacts|add_contact"
    case.house.redis.sadd(KEYS.parked, place)
    case.house.redis.zadd(f"{KEYS.parked}:{place}", {"a": 1, "b": 2})
    return lambda: unpark(case.refused._runner._threads.client, KEYS)


def pause_over(case: Case) -> Callable[[], Any]:
    put_hold(case.house.redis, KEYS, "account/asked", length=20_000)
    return lambda: unpark(case.refused._runner._threads.client, KEYS)


def another_secret_is_good(case: Case) -> Callable[[], Any]:
    """Let deadlines run again although no hold ends."""
    put_hold(case.house.redis, KEYS, "account/refused/mine", secret="mine", any=True, retry_at=10**14)
    case.house.redis.hset(KEYS.still, "sms", 1)
    told = {name: json.dumps({"secret": name, "silence_ms": 10**9}) for name in ("mine", "other")}
    case.house.redis.hset(KEYS.workers, mapping=told)
    case.house.redis.zadd(KEYS.heartbeats, dict.fromkeys(told, now_ms()))
    return lambda: unpark(case.refused._runner._threads.client, KEYS)


def resumed(case: Case) -> Callable[[], Any]:
    put_hold(case.house.redis, KEYS, "sms/paused")
    script, keys, arguments = pausing(KEYS, 1000, word="resume", scope="sms")
    return lambda: finish(case.refused._runner.run(script, keys, arguments))


#: For each script that removes something: the function that prepares and returns the step, and the commands that remove.
REMOVALS: dict[str, tuple[Callable[[Case], Callable[[], Any]], str]] = {
    "a claim that waits": (busy, "srem"),
    "a claim that is parked": (held, "srem"),
    "many that are parked": (parked, "srem"),
    "a claim of what is answered": (answered, "hdel"),
    "a claim after a lost call": (lease_over, "hdel"),
    "done": (settled(Done(events=[EVENT], outcome="{}")), "srem hdel zrem"),
    "failed": (settled(Failed(events=[EVENT], reason="{}")), "srem hdel zrem"),
    "wait": (settled(Waiting(delay=5000)), "srem hdel"),
    "lost": (settled(Lost(delay=5000)), "srem hdel"),
    "what was parked": (over, "zrem"),
    "a hold that ends": (pause_over, "hdel"),
    "deadlines that run again": (another_secret_is_good, "hdel"),
    "an operator's resume": (resumed, "hdel"),
}


@pytest.mark.parametrize("name", REMOVALS)
def test_a_removal_that_is_refused_stops_a_script_before_its_first_change(case: Case, name: str) -> None:
    """Otherwise what the script adds would be in Redis twice for as long as it may not remove."""
    prepare, removals = REMOVALS[name]
    step = prepare(case)
    before = contents(case.house.redis)
    for removal in removals.split():
        with case._refusals.refused(removal), pytest.raises(ResponseError, match=r"can't run|NOPERM"):
            step()
        assert contents(case.house.redis) == before, removal


def test_an_answer_in_hand_is_given_by_whoever_comes_next(case: Case) -> None:
    """If the worker dies while Redis refuses the event, the job must still be answered as done: the contact was added."""
    job = case.job()
    finish(case.ledger.claim(job, "t1"))
    with case._refusals.refused("xadd"), pytest.raises(ResponseError):
        finish(case.refused.settle(job, "t1", Done(events=[EVENT], outcome="{}"), it_works(job)))
    assert case.house.redis.sismember(job.receipt.acks, "job")
    assert finish(case.ledger.claim(job, "t2")).verb == "answered"
    assert case.house.redis.xlen(KEYS.events) == 1
    again = case.job("again", idempotency_key="job", phone=job.job.phone)
    assert finish(case.ledger.claim(again, "t3")).verb == "replay"


def test_an_event_that_is_refused_leaves_the_caller_s_list_as_it_was(case: Case) -> None:
    reply = KEYS.reply("me")
    case.house.redis.rpush(reply, "one", "two")
    job = case.job(reply_to="me")
    finish(case.ledger.claim(job, "t1"))
    with case._refusals.refused("xadd"), pytest.raises(ResponseError):
        finish(case.refused.settle(job, "t1", Done(events=[EVENT], outcome="{}"), it_works(job)))
    assert case.house.redis.lrange(reply, 0, -1) == [b"one", b"two"]
    finish(case.ledger.settle(job, "t1", Done(events=[EVENT], outcome="{}"), it_works(job)))
    assert case.house.redis.lrange(reply, 0, -1) == [b"one", b"two", b"{}"]


def test_an_answer_in_hand_is_never_replaced_by_a_failure(case: Case) -> None:
    """When the answer cannot be written, the worker settles a failure, as a fault of ours; meanwhile somebody has mended the stream."""
    job = case.job()
    finish(case.ledger.claim(job, "t1"))
    case.house.redis.set(KEYS.events, "mistaken")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        finish(case.ledger.settle(job, "t1", Done(events=[EVENT], outcome="{}"), it_works(job)))
    case.house.redis.delete(KEYS.events)
    failed = Failed(events=[("coupontools.contact.failed", "{}")], reason="{}", owned=False)
    assert finish(case.ledger.settle(job, "t2", failed)).ours
    assert [fields[b"type"] for _, fields in case.house.redis.xrange(KEYS.events)] == [EVENT[0].encode()]
    assert not case.house.redis.exists(job.receipt.dead)
