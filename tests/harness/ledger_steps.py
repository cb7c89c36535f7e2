"""Every step that messages, workers and time can take, done with the real scripts and compared with the model at once."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from actors import JOBS
from config.keys import Keys
from delivery import Failure, Ledger, Outcome, Receipt, Task, Unknown, Verdict, pausing
from delivery import answer as answers
from delivery.answer import Progress
from delivery.retry import Rests
from delivery.settlement import Lost, Settlement, Waiting
from delivery.task import short_digest
from tests.harness.fetching import fetch, hand_back
from tests.harness.ledger_model import DELAYED, PARKED, READY, WORKERS, Model, ModelMessage
from tests.harness.sync_ledger import LONG_POLICY, SyncRunner, finish
from tests.harness.unparking import unpark
from workers.redis_link import ThreadRunner

KEYS = Keys()
#: When leases that ended long ago have ended. Each gets a time of its own, because a verdict names its call by the end of its lease.
LONG_AGO_MS = 10**11
#: The end of the fingerprint of a message in conflict.
DIFFERENTLY = ", differently"
#: How a worker may settle, by the verb that claim answered.
SETTLED_AS = {
    "call": ("done", "failed", "wait", "lost"),
    "found": ("done",),
    "expired": ("failed",),
    "unknown": ("unknown",),
    "replay": ("replay",),
    "conflict": ("failed",),
    "waited": ("failed",),
}
#: Answers after which the record is not this claim's.
NOT_OWNED = {"replay", "conflict", "waited"}


@dataclass(eq=False)
class InFlight:
    """A claim that its worker has not settled; the worker may be frozen, and may wake up at any time."""

    message: ModelMessage
    worker: str
    token: str
    verb: str
    task: Task
    outcome: bytes
    #: Did the API carry it out?
    carried_out: bool = False
    listed: list[tuple[Unknown, str]] | None = None


class LedgerSteps:
    """One kind of job, two workers, and the keys a, b and c; for a kind with names, a and b share a name.

    ``derived``: the keys are those of contacts without a given key, made of the number alone and not of the names.
    """

    def __init__(self, client: redis.Redis, actor: str, *, derived: bool = False) -> None:
        client.flushdb()
        self.derived = derived
        self.client = client
        self.kind = JOBS[actor]
        self.ledger = Ledger(SyncRunner(client), KEYS, LONG_POLICY)
        self.queue = KEYS.queue(self.kind.queue)
        names = {"a": "Pizza", "b": "Pizza", "c": "Burger"} if self.kind.named else {}
        names |= {f"{key}{DIFFERENTLY}": f"{name} else" for key, name in names.items()}
        self.model = Model(effect=self.kind.effect, derived=derived, names=names)
        self.messages: list[ModelMessage] = []
        self.flights: list[InFlight] = []
        self.verbs: Counter[str] = Counter()
        self._numbers = itertools.count(1)

    def _acks(self, worker: str) -> str:
        return KEYS.acks(worker, self.kind.queue)

    def _task(self, message: ModelMessage, worker: str) -> Task:
        # A message in conflict has the key of another job and asks for something else.
        other = message.fingerprint != message.key
        number = f"{ord(message.key) + 3 * (other and not self.derived):07d}"
        arguments: dict[str, dict[str, Any]] = {
            "add_contact": {
                "group_id": "gro_1",
                "phone": f"+3247{number}",
                "first_name": "J" if other else None,
            },
            "create_group": {"name": self.model.names.get(message.fingerprint, "")},
            "list_contacts": {"group_id": f"gro_{number}"},
        }
        queue = self.queue
        receipt = Receipt(
            id=f"id-{message.number}",
            acks=self._acks(worker),
            bodies=queue.bodies,
            delayed=queue.delayed,
            dead=queue.dead,
            dead_bodies=queue.dead_bodies,
            dead_reasons=queue.dead_reasons,
            release=lambda: None,
        )
        return Task(
            job=self.kind.parse(
                {
                    "channel": "sms",
                    "idempotency_key": None if self.derived else message.key,
                    **arguments[self.kind.actor],
                },
            ),
            receipt=receipt,
            message_id=f"message-{message.number}",
            since=self._now_ms() - 2 * 86_400_000 * message.overdue,
            queue=self.kind.queue,
            patience=86400,
        )

    def _now_ms(self) -> int:
        return int(self.client.time()[0]) * 1000

    def _record(self, key: str) -> str:
        return self.ledger.record(self._task(ModelMessage(0, key, key), "w1"))

    def _listing(self) -> str:
        return self._task(ModelMessage(0, "a", "a"), "w1").listing

    # -- The queue ------------------------------------------------------------------------------------------------------------

    def enqueue(self, key: str, *, conflicting: bool = False) -> None:
        message = ModelMessage(len(self.messages), key, f"{key}{DIFFERENTLY}" if conflicting else key)
        self.messages.append(message)
        self.client.hset(self.queue.bodies, f"id-{message.number}", "{}")
        self.client.rpush(self.queue.ready, f"id-{message.number}")

    def fetch(self, worker: str, most: int) -> None:
        for entry, body, _ in fetch(self.client, self.kind.queue, worker, most):
            message = self.messages[int(entry.removeprefix("id-"))]
            assert body is not None, "an id without its message would be answered as unreadable"
            assert message.place in {READY, DELAYED}
            message.place = worker

    def take_over(self, worker: str) -> None:
        """Return a worker's messages to the queue, as if it were dead or handed them back; its claims stay in flight."""
        hand_back(self.client, self.kind.queue, worker, "others")
        for message in self.messages:
            if message.place == worker:
                message.place = READY

    # -- Time -----------------------------------------------------------------------------------------------------------------

    def delayed_fall_due(self) -> None:
        waiting: Any = self.client.zrange(self.queue.delayed, 0, -1)
        for entry in waiting:
            self.client.zadd(self.queue.delayed, {entry: 1})

    def lease_ends(self, key: str, *, long_ago: bool) -> None:
        record = self.model.record(key)
        if record.state == "running" and record.lease_valid:
            ended = LONG_AGO_MS if long_ago else self._now_ms() - 100_000
            self.client.hset(self._record(key), "le", ended - next(self._numbers))
            record.lease_valid, record.long_gone = False, long_ago

    def read_back_falls_due(self, key: str) -> None:
        record = self.model.record(key)
        if record.state == "unknown":
            self.client.hset(self._record(key), "rb", 1)
            self.client.zadd(KEYS.unknown(self._listing()), {self._record(key): 1}, xx=True)
            record.due = True

    def reader_rests_no_more(self) -> None:
        """End the rest after a listing, or the lock of a reader that died."""
        if self.kind.effect:
            self.client.delete(KEYS.reader(self._listing()))
            self.model.reader = None

    def pause(self, *, word: str) -> None:
        """An operator pauses the channel, or lets it go on."""
        ThreadRunner(self.client).run(*pausing(KEYS, 1000, word=word, scope="sms"))
        self.model.paused = word == "pause"

    def unpark(self) -> None:
        unpark(self.client, KEYS)
        self.model.unpark(self.messages)

    # -- claim and settle -----------------------------------------------------------------------------------------------------

    def claim(self, message: ModelMessage, worker: str, *, reply_lost: bool = False) -> None:
        token, task = f"token-{next(self._numbers)}", self._task(message, worker)
        expected = self.model.claim(message, worker, token)
        answer = finish(self.ledger.claim(task, token))
        assert (answer.verb, answer.owned) == (expected.replace("waited", "expired"), expected != "waited")
        self.verbs[answer.verb] += 1
        record = self.model.record(message.key)
        if expected in {"call", "read_back", "found", "unknown", "expired"}:
            assert answer.attempts == (record.attempts if record.fingerprint == message.fingerprint else 0)
        if reply_lost:
            again = finish(self.ledger.claim(task, token))
            assert again.verb == self.model.claim(message, worker, token).replace("waited", "expired")
            assert again.verb == "gone" or again.attempts == answer.attempts
        if expected in {*SETTLED_AS, "read_back"}:
            self.flights.append(InFlight(message, worker, token, expected, task, answer.outcome))

    def send(self, flight: InFlight, *, arrives: bool = True) -> None:
        """Send the call, if it may still leave; the API carries it out if it ``arrives``."""
        if not self.kind.effect:
            return
        record = self.model.record(flight.message.key)
        if self.kind.named:
            lease = finish(self.ledger.renew(flight.task, flight.token, ["gro_0"]))
            assert (lease > 0) == (record.owner == flight.token)
            if lease:
                record.baseline = record.lease_valid = True
        if self.model.may_send(flight.message.key, flight.token) and arrives:
            flight.carried_out = True
            record.effects += 1

    def possible(self, flight: InFlight) -> list[str]:
        """Return how a claim may be settled: a call that was carried out has not failed, and a read is never lost."""
        ops = SETTLED_AS[flight.verb]
        if flight.verb != "call":
            return list(ops)
        if not self.kind.effect:
            return [op for op in ops if op != "lost"]
        return [op for op in ops if op == "lost" or (op == "done") == flight.carried_out]

    def settle(self, flight: InFlight, op: str, *, reply_lost: bool = False) -> None:
        task, owned, conflict = flight.task, flight.verb not in NOT_OWNED, flight.verb == "conflict"
        failure = Failure("conflict" if conflict else "rejected", "no")
        made: dict[str, Callable[[], Settlement | None]] = {
            "done": lambda: answers.done(task, Outcome("contact.added", {"channel": "sms"}), Progress()),
            "replay": lambda: answers.replayed(task, orjson.loads(flight.outcome), []),
            "failed": lambda: answers.failed(task, failure, Progress(), owned=owned),
            "unknown": lambda: answers.failed(task, answers.UNKNOWN, Progress()),
            "wait": lambda: Waiting(delay=3_600_000),
            "lost": lambda: Lost(delay=3_600_000),
        }
        settlement = made[op]()
        assert settlement
        for _ in range(1 + reply_lost):
            expected = self.model.settle(
                op, flight.message, flight.worker, flight.token, owned=owned, conflict=conflict
            )
            assert finish(self.ledger.settle(task, flight.token, settlement)).ours is expected
        self.flights.remove(flight)

    # -- Reading back -----------------------------------------------------------------------------------------------------------

    def read_listing(self, flight: InFlight, can_tell: Callable[[], bool]) -> None:
        _, unknowns = finish(self.ledger.unknowns.of(self._listing()))
        keys = {self._record(key): key for key in self.model.records}
        assert {keys[unknown.record] for unknown in unknowns} == self.model.list_unknowns()
        flight.listed = []
        for unknown in unknowns:
            word = "found" if self.model.record(keys[unknown.record]).effects else "absent"
            flight.listed.append((unknown, word if can_tell() else "undecided"))

    def judge(self, flight: InFlight, *, reply_lost: bool = False) -> None:
        """Give the verdicts of an earlier listing; anything may have happened to the records since."""
        listed = flight.listed or []
        keys = {self._record(key): key for key in self.model.records}
        for unknown, word in listed:
            key = keys[unknown.record]
            same_call = self.client.hget(unknown.record, "en") == str(unknown.ended).encode()
            if same_call and self.model.record(key).state == "unknown":
                self.model.judge(key, word)
            else:
                self.model.record(key).listed = False
        self.model.judged(flight.token)
        verdicts = [Verdict(unknown, word) for unknown, word in listed]
        for _ in range(1 + reply_lost):
            finish(
                self.ledger.unknowns.judge(self._listing(), flight.token, verdicts, Rests(3600, 3600, 3600))
            )
        self.flights.remove(flight)

    # -- What must hold, always -------------------------------------------------------------------------------------------------

    def check_messages(self) -> None:
        """Check each message: at most one event; no place if it is acknowledged, else exactly one."""
        queue = self.queue
        with self.client.pipeline(transaction=True) as pipeline:
            pipeline.xrange(KEYS.events)
            pipeline.lrange(queue.ready, 0, -1)
            pipeline.zrange(queue.delayed, 0, -1)
            pipeline.zrange(f"{KEYS.parked}:sms/paused|{self.kind.queue}|sms/{self.kind.actor}", 0, -1)
            for worker in WORKERS:
                pipeline.smembers(self._acks(worker))
            pipeline.hkeys(queue.bodies)
            pipeline.hkeys(queue.dead_bodies)
            stream, ready, delayed, parked, *acks, bodies, dead = pipeline.execute()
        told = Counter(orjson.loads(fields[b"event"])["id"] for _, fields in stream)
        lists = [(READY, ready), (DELAYED, delayed), (PARKED, parked), *zip(WORKERS, acks, strict=True)]
        for message in self.messages:
            entry = f"id-{message.number}".encode()
            assert told[f"message-{message.number}"] == message.events <= 1
            places = [place for place, entries in lists for one in entries if one == entry]
            assert places == ([message.place] if message.place else [])
            assert message.place or message.answered, "a message was lost"
            assert (entry in bodies) == (message.place is not None)
            assert (entry in dead) == message.dead

    def check_records(self) -> None:
        """Check that each record has the state of the model, no key is carried out twice, and no two keys have a name at once."""
        with self.client.pipeline(transaction=True) as pipeline:
            for key in self.model.records:
                pipeline.hmget(self._record(key), "s", "t", "bl")
            found = pipeline.execute()
        for record, (state, owner, baseline) in zip(self.model.records.values(), found, strict=True):
            assert (state or b"absent").decode() == record.state
            assert (owner.decode() if owner else None) == record.owner
            assert bool(baseline) == record.baseline
            assert record.effects <= 1, "the API carried a key out twice"
        for name in set(self.model.names.values()):
            holder: Any = self.client.get(KEYS.name_lock("sms", short_digest(name.casefold())))
            expected = self.model.holders.get(name)
            assert (holder.decode() if holder else None) == (self._record(expected) if expected else None)
        busy = [
            self.model.names[record.fingerprint]
            for record in self.model.records.values()
            if self.model.names
            and record.fingerprint
            and record.state in {"running", "unknown"}
            and not (record.abandoned or record.revived)
        ]
        assert len(busy) == len(set(busy)), "two keys create a group of one name"
