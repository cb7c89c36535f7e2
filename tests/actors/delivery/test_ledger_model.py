"""The real scripts on a real Redis against the model of the state diagram: any order of any steps, by hypothesis."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import hypothesis.strategies as st
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.declare import KINDS
from actors.delivery import Failure, Ledger, Outcome, Policy, Progress, Receipt, Script, Task, failed
from actors.delivery.answers import happened, replayed
from actors.delivery.backoff import Backoff
from actors.delivery.kind import Unknown, Verdict
from actors.jobs import parse_job
from config.keys import Keys
from tests.harness.ledger_model import DELAYED, READY, WORKERS, Model, ModelMessage
from workers.broker.scripts import SCRIPTS as BROKER_SCRIPTS
from workers.embedded import EmbeddedRedis
from workers.redis_link import ThreadRunner

T = TypeVar("T")
SCALE = float(os.environ.get("CHAOS_SCALE", "1"))
KEYS = Keys()
#: Nothing ends by itself while a test runs; the test ends leases and rests by its own hand.
POLICY = Policy(
    timeout=3000, cover=3600, deadline=86400, read_back_after=1800, ttl=86400, rate=0, backoff=Backoff(1, 600),
    events_maxlen=100_000,
)  # fmt: skip
#: Moments that no other step uses, counted down from one long past and from one too young to be read back after.
LONG_AGO_MS = 10**11
SETTLED_AS = {
    "call": ("done", "failed", "wait", "lost"),
    "found": ("done",),
    "expired": ("failed",),
    "unknown": ("unknown",),
    "replay": ("replay",),
    "conflict": ("failed",),
}


import collections

COUNT = collections.Counter()


def finish(steps: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that never waits."""
    try:
        steps.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    raise AssertionError("it waited")


class SyncRunner:
    """A ScriptRunner that blocks; each script may be run twice, as after a lost reply."""

    def __init__(self, client: redis.Redis) -> None:
        self._threads = ThreadRunner(client)

    async def run(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        return self._threads.run(script, keys, args)

    async def command(self, *args: Any) -> Any:
        return self._threads.client.execute_command(*args)


@dataclass
class InFlight:
    """A claim whose worker has not settled it; the worker may be frozen, and may be woken at any time."""

    message: ModelMessage
    worker: str
    token: str
    verb: str
    task: Task
    outcome: bytes
    #: Did the API carry it out?
    carried_out: bool = False
    listed: list[tuple[Unknown, str]] | None = None


class LedgerMachine(RuleBasedStateMachine):
    """Messages of one kind of job, two workers, and every step that either can take."""

    client: redis.Redis

    @initialize(
        actor=st.sampled_from(["add_contact", "create_group", "list_contacts"]),
        keys=st.lists(st.sampled_from("aab"), min_size=1, max_size=4),
    )
    def begin(self, actor: str, keys: list[str]) -> None:
        self.client.flushdb()
        self.kind = KINDS[actor]
        self.ledger = Ledger(SyncRunner(self.client), KEYS, POLICY)
        self.queue = KEYS.queue(self.kind.job.queue)
        names = {"a": "Pizza", "b": "Pizza", "c": "Burger"} if self.kind.named else {}
        self.model = Model(effect=self.kind.effect, names=names)
        self.messages: list[ModelMessage] = []
        self.flights: list[InFlight] = []
        self.tick = 0
        for key in keys:
            self.enqueue(key, conflicting=False)
        self.fetch("w1", 4)

    # -- What stands in Redis -----------------------------------------------------------------------------------------------

    def job(self, message: ModelMessage) -> Any:
        # A message in conflict has the key of another job and asks for something else.
        other = message.fingerprint != message.key
        number = f"{ord(message.key) - ord('a') + 3 * other:07d}"
        arguments: dict[str, dict[str, Any]] = {
            "add_contact": {"group_id": "gro_1", "phone": f"+3247{number}"},
            "create_group": {"name": self.model.names.get(message.key, "") + (" else" if other else "")},
            "list_contacts": {"group_id": f"gro_{number}"},
        }
        given = {"channel": "sms", "idempotency_key": message.key, **arguments[self.kind.job.actor]}
        return parse_job(self.kind.job, given)

    def task(self, message: ModelMessage, worker: str) -> Task:
        queue = self.queue
        receipt = Receipt(
            id=f"id-{message.number}",
            acks=KEYS.acks(worker, self.kind.job.queue),
            bodies=queue.bodies,
            delayed=queue.delayed,
            dead=queue.dead,
            dead_bodies=queue.dead_bodies,
            dead_reasons=queue.dead_reasons,
            release=lambda: None,
        )
        now = int(self.client.time()[0]) * 1000
        since = now - (2 * 86_400_000 if message.overdue else 0)
        message_id = f"message-{message.number}"
        return Task(self.kind, self.job(message), receipt, message_id, since, self.kind.job.queue, 86400)

    def record(self, key: str) -> str:
        return self.ledger.record(self.task(ModelMessage(0, key, key), "w1"))

    @property
    def listing(self) -> str:
        return str(self.kind.listing(self.job(ModelMessage(0, "a", "a"))))

    # -- The queue ------------------------------------------------------------------------------------------------------------

    @rule(key=st.sampled_from("aaabbc"), conflicting=st.sampled_from([False] * 7 + [True]))
    def enqueue(self, key: str, *, conflicting: bool) -> None:
        message = ModelMessage(len(self.messages), key, f"{key}, differently" if conflicting else key)
        self.messages.append(message)
        self.client.hset(self.queue.bodies, f"id-{message.number}", "{}")
        self.client.rpush(self.queue.ready, f"id-{message.number}")

    @rule(worker=st.sampled_from(WORKERS), most=st.integers(1, 4))
    def fetch(self, worker: str, most: int) -> None:
        keys = [
            self.queue.ready,
            self.queue.bodies,
            KEYS.acks(worker, self.kind.job.queue),
            self.queue.delayed,
        ]
        _, *flat = ThreadRunner(self.client).run(BROKER_SCRIPTS["fetch"], keys, [most])
        for entry, body in zip(flat[::2], flat[1::2], strict=True):
            message = self.messages[int(entry.decode().removeprefix("id-"))]
            assert body is not None, "an id without its message would be answered as unreadable"
            assert message.place in {READY, DELAYED}
            message.place = worker

    @rule()
    def everything_falls_due(self) -> None:
        for entry in self.client.zrange(self.queue.delayed, 0, -1):
            self.client.zadd(self.queue.delayed, {entry: 1})

    @rule(worker=st.sampled_from(WORKERS))
    def take_over(self, worker: str) -> None:
        """The worker is believed dead, or hands back; what it had goes to its queue, and its claims stay in flight."""
        keys = [self.queue.ready, self.queue.bodies, KEYS.acks(worker, self.kind.job.queue)]
        ThreadRunner(self.client).run(BROKER_SCRIPTS["hand_back"], keys, ["others"])
        for message in self.messages:
            if message.place == worker:
                message.place = READY

    @rule(pick=st.integers(0, 99))
    @precondition(lambda self: self.messages)
    def deadline_passes(self, pick: int) -> None:
        self.messages[pick % len(self.messages)].overdue = True

    # -- Time -----------------------------------------------------------------------------------------------------------------

    @rule(key=st.sampled_from("abc"), long_ago=st.booleans())
    def lease_ends(self, key: str, *, long_ago: bool) -> None:
        record = self.model.record(key)
        if record.state != "running" or not record.lease_valid:
            return
        self.tick += 1
        now = int(self.client.time()[0]) * 1000
        ended = LONG_AGO_MS + self.tick if long_ago else now - 100_000 - self.tick
        self.client.hset(self.record(key), "le", ended)
        record.lease_valid, record.long_gone = False, long_ago

    @rule(key=st.sampled_from("abc"))
    def read_back_falls_due(self, key: str) -> None:
        record = self.model.record(key)
        if record.state == "unknown":
            self.client.hset(self.record(key), "rb", 1)
            record.due = True

    @rule()
    @precondition(lambda self: self.kind.effect)
    def reader_rests_no_more(self) -> None:
        self.client.delete(KEYS.reader(self.listing))
        self.model.reader = None

    # -- claim and settle -----------------------------------------------------------------------------------------------------

    @rule(
        pick=st.integers(0, 99),
        worker=st.sampled_from(WORKERS),
        reply_lost=st.booleans(),
    )
    @precondition(lambda self: self.messages)
    def claim(self, pick: int, worker: str, *, reply_lost: bool) -> None:
        # Mostly one that this worker has; sometimes one that it only had.
        own = [message for message in self.messages if message.place == worker]
        choice = own if own and pick % 8 else self.messages
        self.claim_one(choice[pick % len(choice)], worker, reply_lost=reply_lost)

    def claim_one(self, message: ModelMessage, worker: str, *, reply_lost: bool = False) -> None:
        self.tick += 1
        token = f"token-{self.tick}"
        task = self.task(message, worker)
        record = self.model.record(message.key)
        expected = self.model.claim(message, worker, token)
        answer = finish(self.ledger.claim(task, token))
        assert answer.verb == expected
        COUNT[self.kind.job.actor, expected] += 1
        if expected in {"call", "read_back", "found", "unknown", "expired"}:
            assert answer.attempts == record.attempts
        if expected == "deferred":
            assert answer.wait >= 0
        if reply_lost:
            again = finish(self.ledger.claim(task, token))
            assert again.verb == self.model.claim(message, worker, token)
            assert again.attempts == answer.attempts or again.verb == "gone"
        if expected in {*SETTLED_AS, "read_back"}:
            self.flights.append(InFlight(message, worker, token, expected, task, answer.outcome))

    @rule(pick=st.integers(0, 99), choice=st.integers(0, 3), reply_lost=st.booleans())
    def settle(self, pick: int, choice: int, *, reply_lost: bool) -> None:
        flights = [flight for flight in self.flights if flight.verb in SETTLED_AS]
        if flights:
            flight = flights[pick % len(flights)]
            self.settle_one(flight, choice, reply_lost=reply_lost)

    def settle_one(self, flight: InFlight, choice: int, *, reply_lost: bool = False) -> None:
        ops = [op for op in SETTLED_AS[flight.verb] if self.possible(op, flight)]
        op, task = ops[choice % len(ops)], flight.task
        owned = flight.verb not in {"replay", "conflict"}
        arguments: dict[str, Any] = {"owned": owned, "delay": 3_600_000}
        if op == "done":
            arguments |= happened(task, Outcome("contact.added", {"channel": "sms"}), Progress())
        elif op == "replay":
            arguments |= replayed(task, flight.outcome, [])
        elif op in {"failed", "unknown"}:
            arguments |= failed(task, Failure("rejected", "no"), Progress())
        expected = self.model.settle(op, flight.message, flight.worker, flight.token, owned=owned)
        assert finish(self.ledger.settle(task, op, flight.token, **arguments)).ours is expected
        if reply_lost:
            # Asked again: either nothing is there any more to settle, or it says the same.
            repeated = self.model.settle(op, flight.message, flight.worker, flight.token, owned=owned)
            assert finish(self.ledger.settle(task, op, flight.token, **arguments)).ours is repeated
        self.flights = [other for other in self.flights if other is not flight]

    def possible(self, op: str, flight: InFlight) -> bool:
        """What the API's answer allows: a call that was carried out is not told to have failed, and reads are never lost."""
        if flight.verb != "call":
            return True
        if not self.kind.effect:
            return op != "lost"
        return op == "lost" or (op == "done") == flight.carried_out

    @rule(pick=st.integers(0, 99), arrives=st.booleans())
    @precondition(lambda self: self.kind.effect)
    def send(self, pick: int, *, arrives: bool) -> None:
        """A call leaves, if it still may, and is or is not carried out."""
        flights = [flight for flight in self.flights if flight.verb == "call" and not flight.carried_out]
        if flights:
            self.send_for(flights[pick % len(flights)], arrives=arrives)

    def send_for(self, flight: InFlight, *, arrives: bool = True) -> None:
        key = flight.message.key
        record = self.model.record(key)
        if self.kind.named:
            lease = finish(self.ledger.note_baseline(flight.task, flight.token, ["gro_0"]))
            assert (lease > 0) == (record.owner == flight.token)
            if lease:
                record.baseline = record.lease_valid = True
        if self.model.may_send(key, flight.token) and arrives:
            flight.carried_out = True
            record.effects += 1

    # -- Reading back -----------------------------------------------------------------------------------------------------------

    @rule(pick=st.integers(0, 99), words=st.lists(st.booleans(), min_size=3, max_size=3))
    def read_listing(self, pick: int, words: list[bool]) -> None:
        flights = [flight for flight in self.flights if flight.verb == "read_back" and flight.listed is None]
        if flights:
            self.list_for(flights[pick % len(flights)], words)

    def list_for(self, flight: InFlight, told: list[bool]) -> None:
        _, unknowns = finish(self.ledger.unknowns(self.listing))
        keys = {self.record(key): key for key in self.model.records}
        assert {keys[unknown.record] for unknown in unknowns} == self.model.list_unknowns()
        flight.listed = []
        for unknown, can_tell in zip(unknowns, [*told, *told], strict=False):
            present = "found" if self.model.record(keys[unknown.record]).effects else "absent"
            flight.listed.append((unknown, present if can_tell else "undecided"))

    @rule(pick=st.integers(0, 99), reply_lost=st.booleans())
    def judge(self, pick: int, *, reply_lost: bool) -> None:
        flights = [flight for flight in self.flights if flight.listed is not None]
        if flights:
            self.judge_for(flights[pick % len(flights)], reply_lost=reply_lost)

    def judge_for(self, flight: InFlight, *, reply_lost: bool = False) -> None:
        listed = flight.listed or []
        keys = {self.record(key): key for key in self.model.records}
        for unknown, word in listed:
            ended = self.client.hget(unknown.record, "en")
            if (
                ended == str(unknown.ended).encode()
                and self.model.record(keys[unknown.record]).state == "unknown"
            ):
                self.model.judge(keys[unknown.record], word)
            else:
                self.model.record(keys[unknown.record]).listed = False
        self.model.judged(flight.token)
        verdicts = [Verdict(unknown, word) for unknown, word in listed]
        for _ in range(1 + reply_lost):
            finish(self.ledger.judge(self.listing, flight.token, verdicts, rest=3600, again=3600))
        self.flights = [other for other in self.flights if other is not flight]

    # -- What must hold, always -------------------------------------------------------------------------------------------------

    @invariant()
    def one_answer_and_one_place(self) -> None:
        events = [fields[b"event"] for _, fields in self.client.xrange(KEYS.events)]
        queue, ready = self.queue, self.client.lrange(self.queue.ready, 0, -1)
        for message in self.messages:
            entry = f"id-{message.number}".encode()
            told = sum(f'"id":"message-{message.number}"'.encode() in event for event in events)
            assert told == message.events <= 1
            places = [READY] * ready.count(entry)
            places += [DELAYED] * (self.client.zscore(queue.delayed, entry) is not None)
            places += [
                worker
                for worker in WORKERS
                if self.client.sismember(KEYS.acks(worker, self.kind.job.queue), entry)
            ]
            assert places == ([message.place] if message.place else [])
            assert message.place or message.answered, "a message was lost"
            assert self.client.hexists(queue.bodies, entry) == (message.place is not None)
            assert self.client.hexists(queue.dead_bodies, entry) == message.dead

    @invariant()
    def the_records_are_those_of_the_diagram(self) -> None:
        for key, record in self.model.records.items():
            state, owner = self.client.hmget(self.record(key), "s", "t")
            assert (state or b"absent").decode() == record.state
            assert (owner.decode() if owner else None) == record.owner
            if self.kind.effect:
                assert record.effects <= 1, "the API carried a key out twice"

    @invariant()
    def one_name_one_job(self) -> None:
        busy = [
            self.model.names[key]
            for key, record in self.model.records.items()
            if self.model.names and record.state in {"running", "unknown"} and not record.abandoned
        ]
        assert len(busy) == len(set(busy))

    def teardown(self) -> None:
        """Everything that is still under way comes to its end: nothing is lost, and nothing is left behind."""
        if not hasattr(self, "messages"):
            return
        for _ in range(12 + 4 * len(self.messages)):
            for flight in list(self.flights):
                if flight.verb == "call" and self.kind.effect and not flight.carried_out:
                    self.send_for(flight)
                if flight.verb in SETTLED_AS:
                    self.settle_one(flight, 0)
                else:
                    if flight.listed is None:
                        self.list_for(flight, [True] * 3)
                    self.judge_for(flight)
            if self.kind.effect:
                self.reader_rests_no_more()
            for key in "abc":
                self.lease_ends(key, long_ago=True)
                self.read_back_falls_due(key)
            self.everything_falls_due()
            self.fetch("w1", 100)
            self.take_over("w2")
            for message in [message for message in self.messages if message.place == "w1"]:
                self.claim_one(message, "w1")
                self.the_records_are_those_of_the_diagram()
            self.one_answer_and_one_place()
        assert all(message.answered and message.place is None for message in self.messages)
        assert not self.client.exists(self.queue.bodies, self.queue.ready, self.queue.delayed)
        assert not self.client.exists(*(KEYS.acks(worker, self.kind.job.queue) for worker in WORKERS))


@pytest.mark.parametrize("examples", [60])
def test_any_order_of_any_steps(_redis_server: EmbeddedRedis, examples: int) -> None:  # noqa: PT019 - a fixture with a value
    with redis.Redis(port=_redis_server.port, socket_timeout=10) as client:
        machine = type("Machine", (LedgerMachine,), {"client": client})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=round(examples * SCALE),
                stateful_step_count=40,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
    import sys

    sys.stderr.write(repr(sorted(COUNT.items())))
