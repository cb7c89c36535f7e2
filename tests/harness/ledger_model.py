"""A model of the ledger's state diagram (docs/delivery.md) in plain Python: what the scripts must answer and store.

The model knows nothing about Redis. A test drives it and the real scripts through the same steps and compares.
"""

from __future__ import annotations

from dataclasses import dataclass, field

WORKERS = ("w1", "w2")
READY, DELAYED, PARKED = "ready", "delayed", "parked"


@dataclass(eq=False)
class ModelMessage:
    """One message: ``place`` is READY, DELAYED, PARKED, the worker that has it outstanding, or None once it is acknowledged."""

    number: int
    key: str
    fingerprint: str
    place: str | None = READY
    overdue: bool = False
    events: int = 0
    dead: bool = False

    @property
    def answered(self) -> bool:
        return self.events > 0


@dataclass
class ModelRecord:
    """One record; a record whose lease ended stays ``running`` until somebody looks."""

    state: str = "absent"
    fingerprint: str | None = None
    owner: str | None = None
    lease_valid: bool = False
    #: Did the lease end longer ago than a listing must wait?
    long_gone: bool = False
    attempts: int = 0
    verdict: str | None = None
    baseline: bool = False
    #: May it be read back now?
    due: bool = False
    #: Is it among the records that wait for a listing?
    listed: bool = False
    #: Did its message end as `unknown`, so that nobody waits for it any more?
    abandoned: bool = False
    #: Was the record missing when its call was settled? It then holds no name, and no group of that name is taken for its own.
    revived: bool = False
    #: The last message that got as far as the call, or the read back.
    waiting: ModelMessage | None = None
    #: How often the API has carried the job out. The ledger exists to prevent more than once.
    effects: int = 0


@dataclass
class Model:
    """The ledger of one kind of job.

    ``names`` maps a fingerprint to the name that its job takes; empty for unnamed kinds. ``derived`` keys are made of only some of the
    job's arguments.
    """

    effect: bool
    derived: bool = False
    names: dict[str, str] = field(default_factory=dict)
    records: dict[str, ModelRecord] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    #: Who reads the one listing: a token, "rest" after it was read, or None.
    reader: str | None = None
    #: Has an operator paused the channel?
    paused: bool = False

    def record(self, key: str) -> ModelRecord:
        return self.records.setdefault(key, ModelRecord())

    # -- claim ----------------------------------------------------------------------------------------------------------------

    def claim(self, message: ModelMessage, worker: str, token: str) -> str:  # noqa: PLR0912 - a branch for each answer
        """Return the verb that claim must answer; ``waited`` stands for an ``expired`` that has no record."""
        record = self.record(message.key)
        if message.place != worker:
            return "gone"
        if message.answered:
            message.place = None
            return "answered"
        others = record.fingerprint not in {None, message.fingerprint}
        if others and (record.state == "done" or not self.derived):
            return "conflict"
        if record.state == "done":
            return "replay"
        if record.state == "running":
            if record.owner == token:
                return "call"
            if record.lease_valid:
                return self._defer(message)
            self._lease_ended(message.key)
        if record.state == "unknown" and record.verdict == "found":
            if others:
                return "conflict"
            return self._own(message, token, "unknown", "found")
        if others and message.overdue:
            if record.state == "unknown" and record.waiting is message:
                record.verdict, record.listed = None, False
            return "waited"
        if others and record.waiting not in {None, message} and record.waiting.place:
            return self._defer(message)
        if self._name_taken(message) and not message.overdue:
            return self._defer(message)
        if self.paused:
            message.place = PARKED
            return "parked"
        if message.overdue:
            if record.state == "unknown" and record.verdict != "absent":
                return self._own(message, token, "unknown", "unknown")
            return self._own(message, token, "waiting", "expired")
        record.waiting = message
        if record.state == "unknown" and record.verdict != "absent":
            return self._unknown(message, token)
        self._take_name(message)
        record.state, record.fingerprint, record.owner = "running", message.fingerprint, token
        record.lease_valid, record.verdict, record.due = True, None, False
        record.attempts = 1 if others else record.attempts + 1
        return "call"

    def may_send(self, key: str, token: str) -> bool:
        """Return whether bytes may leave: only under the lease and, if the job takes a name, only after the baseline."""
        record = self.record(key)
        return record.owner == token and record.lease_valid and (record.baseline or not self.names)

    def _lease_ended(self, key: str) -> None:
        record = self.record(key)
        record.owner = None
        if self.effect and (not self.names or record.baseline):
            self._lose(key)
            record.due = record.long_gone
        else:
            record.state, record.baseline = "waiting", False

    def _name_taken(self, message: ModelMessage) -> bool:
        """Return whether another key has the name; forget, if so, a baseline that was noted before."""
        if not self.names:
            return False
        holder = self.holders.get(self.names[message.fingerprint])
        if holder == message.key:
            return False
        held = self.record(holder) if holder is not None else ModelRecord()
        waiting = (
            held.state in {"running", "unknown"} and held.waiting is not None and bool(held.waiting.place)
        )
        taken = waiting or (held.state == "running" and held.lease_valid)
        if not (taken and not message.overdue) and self.record(message.key).state != "unknown":
            self.record(message.key).baseline = False
        return taken

    def _unknown(self, message: ModelMessage, token: str) -> str:
        record = self.record(message.key)
        record.listed = True
        record.abandoned = False
        self._take_name(message)
        if not record.due or self.reader not in {None, token}:
            return self._defer(message)
        self.reader = token
        return "read_back"

    def _own(self, message: ModelMessage, token: str, state: str, verb: str) -> str:
        record = self.record(message.key)
        record.state, record.fingerprint, record.owner = state, message.fingerprint, token
        return verb

    def _take_name(self, message: ModelMessage) -> None:
        if self.names:
            self.holders[self.names[message.fingerprint]] = message.key
            self.record(message.key).revived = False

    @staticmethod
    def _defer(message: ModelMessage) -> str:
        message.place = DELAYED
        return "deferred"

    def unpark(self, messages: list[ModelMessage]) -> None:
        """Bring parked messages back, unless the pause goes on."""
        for message in messages:
            if message.place == PARKED and not self.paused:
                message.place = DELAYED

    # -- settle ---------------------------------------------------------------------------------------------------------------

    def settle(
        self,
        op: str,
        message: ModelMessage,
        worker: str,
        token: str,
        *,
        owned: bool = True,
        conflict: bool = False,
    ) -> bool:
        """Return whether settle must say that the record was ours."""
        record = self.record(message.key)
        if message.answered:
            self._acknowledge(message, worker)
            return True
        if owned and record.owner != token and not self._known_better(op, message):
            return False
        if owned and record.state == "absent":
            record.fingerprint, record.attempts, record.baseline = message.fingerprint, 1, bool(self.names)
            record.revived = True
        if op in {"wait", "lost"}:
            if op == "lost":
                self._lose(message.key)
            else:
                record.state, record.baseline = "waiting", False
                self._free_name(message)
            record.owner = None
            if message.place == worker:
                message.place = DELAYED
            return True
        message.events += 1
        message.dead = op in {"failed", "unknown"} and not conflict
        if owned:
            self._end(op, message)
        self._acknowledge(message, worker)
        return True

    def _known_better(self, op: str, message: ModelMessage) -> bool:
        """Return whether the API's answer counts more than the record: the record is missing, or is unknown and nobody reads it back."""
        record = self.record(message.key)
        missing = self.effect and record.state == "absent" and op in {"done", "lost"}
        undecided = record.state == "unknown" and (record.owner is None or record.verdict == "found")
        return missing or (op == "done" and undecided and record.fingerprint == message.fingerprint)

    def _end(self, op: str, message: ModelMessage) -> None:
        key, record = message.key, self.record(message.key)
        if op == "failed":
            self.records[key] = ModelRecord(effects=record.effects)
        elif op == "done":
            self.records[key] = ModelRecord(
                "done", fingerprint=record.fingerprint, attempts=record.attempts, effects=record.effects
            )
        else:
            record.state, record.owner, record.listed, record.abandoned = "unknown", None, False, True
        self._free_name(message)

    def _lose(self, key: str) -> None:
        record = self.record(key)
        record.state, record.verdict, record.due, record.listed = "unknown", None, False, True

    def _free_name(self, message: ModelMessage) -> None:
        if self.names and self.holders.get(self.names[message.fingerprint]) == message.key:
            del self.holders[self.names[message.fingerprint]]

    @staticmethod
    def _acknowledge(message: ModelMessage, worker: str) -> None:
        # A message that was taken over meanwhile is in another place, and is found answered there.
        if message.place == worker:
            message.place = None

    # -- reading back ---------------------------------------------------------------------------------------------------------

    def list_unknowns(self) -> set[str]:
        """Return the keys that a listing must look for, due or not; take all others off the list."""
        for record in self.records.values():
            record.listed = record.listed and record.state == "unknown" and record.verdict is None
        return {key for key, record in self.records.items() if record.listed}

    def judge(self, key: str, word: str) -> None:
        """Note a verdict on the call that it was made for."""
        record = self.record(key)
        if record.verdict == "found" or not (record.waiting and record.waiting.place):
            record.listed = False
        elif word == "undecided":
            record.due = False
        else:
            record.verdict, record.listed = word, False

    def judged(self, token: str) -> None:
        """The listing is over."""
        if self.reader == token:
            self.reader = "rest"
