"""The model that `make prove` checks does what the real scripts do: traces of the scripts are replayed on it, step by step."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
import redis

from tests.harness.ledger_model import DELAYED, PARKED, READY, WORKERS
from tests.harness.ledger_steps import InFlight, LedgerSteps
from workers.embedded import EmbeddedRedis

PROOF = Path(__file__).parent.parent.parent / "docs" / "proof"
TRACES, STEPS = 20, 60
WORDS = {"deferred": "busy", "unknown": "ended_unknown", "found": "is_found"}
PLACES = {None: 0, READY: 1, DELAYED: 2, PARKED: 4, WORKERS[0]: 8, WORKERS[1]: 16}
KEY = "a"


class TracedSteps(LedgerSteps):
    """One key and at most two messages. Notes each step in the form that the model takes, with the state of Redis after it.

    That state is taken from the model in Python, which every step compares with Redis.
    """

    def begin(self) -> None:
        self.lines = [f"feed!begin({int(self.derived)}, 0, 0, gone, 0)"]

    def note(self, step: str, *numbers: int, word: str = "gone", last: int = 0) -> None:
        a, b, c = [*numbers, 0, 0, 0][:3]
        self.lines.append(f"feed!{step}({a}, {b}, {c}, {word}, {last})")

    def note_time(self, *, reader_gone: bool = False) -> None:
        """Note what time and operators have changed."""
        record = self.model.record(KEY)
        flags = [record.lease_valid and record.state == "running", record.due, self.model.paused]
        flags += [*(message.overdue for message in self.messages), False, False][:2]
        self.note("time", sum(flag << bit for bit, flag in enumerate([*flags, reader_gone])))

    def note_state(self) -> None:
        self.check_messages()
        self.check_records()
        record = self.model.record(KEY)
        owner = int(record.owner.removeprefix("token-")) if record.owner else 0
        self.note("expect_record", owner, word=record.state)
        for message in self.messages:
            self.note("expect_message", message.number, PLACES[message.place], message.events)

    def put(self, *, differs: bool) -> None:
        self.enqueue(KEY, conflicting=differs)
        self.note("put", len(self.messages) - 1, 1 + differs)

    def take_all(self, worker: str) -> None:
        before = [message.place for message in self.messages]
        self.fetch(worker, 2)
        for message, place in zip(self.messages, before, strict=True):
            if message.place != place:
                self.note("take", WORKERS.index(worker), message.number)

    def hand_all_back(self, worker: str) -> None:
        for message in self.messages:
            if message.place == worker:
                self.note("back", WORKERS.index(worker), message.number)
        self.take_over(worker)

    def claim_one(self, number: int, worker: str, *, again: bool) -> None:
        message = self.messages[number]
        flights, before = len(self.flights), self.verbs.copy()
        self.claim(message, worker, reply_lost=again)
        (verb,) = self.verbs - before
        if len(self.flights) > flights:
            verb = self.flights[-1].verb
        token = next(self._numbers) - 1
        self.note("claims", token, WORKERS.index(worker), number, word=WORDS.get(verb, verb))
        if again:
            repeated = {"call": "call", "read_back": "read_back"}.get(verb)
            if repeated:
                self.note("claims", token, WORKERS.index(worker), number, word=repeated)
        self.note_time()

    def settle_one(self, flight: InFlight, op: str) -> None:
        record, token = self.model.record(KEY), int(flight.token.removeprefix("token-"))
        owned = flight.verb not in {"replay", "conflict", "waited"}
        answered = flight.message.answered
        ours = (
            answered
            or not owned
            or record.owner == flight.token
            or self.model._known_better(op, flight.message)
        )
        self.settle(flight, op)
        numbers = (token, WORKERS.index(flight.worker), flight.message.number)
        self.note("settles", *numbers, word=f"op_{op}", last=owned + 2 * ours)
        self.note_time()

    def list_one(self, flight: InFlight, *, tells: bool) -> None:
        self.read_listing(flight, lambda: tells)
        self.note("lists", int(bool(flight.listed)))

    def judge_one(self, flight: InFlight) -> None:
        token = int(flight.token.removeprefix("token-"))
        for unknown, word in flight.listed or []:
            same = self.client.hget(unknown.record, "en") == str(unknown.ended).encode()
            self.note("judges", token, int(same), word=word.replace("absent", "missing"))
        self.judge(flight)
        self.note_time(reader_gone=not flight.listed)

    def wake_parked(self) -> None:
        if not self.model.paused:
            for message in self.messages:
                if message.place == PARKED:
                    self.note("wakes", message.number)
        self.unpark()


def trace(client: redis.Redis, draw: random.Random) -> list[str]:  # noqa: PLR0912 - one branch a step
    """Return the lines of random steps, each of which is possible at its moment."""
    steps = TracedSteps(client, "add_contact", derived=draw.random() < 0.3)
    steps.begin()
    for _ in range(2):
        steps.put(differs=draw.random() < 0.3)
    for _ in range(STEPS):
        flight = draw.choice(steps.flights) if steps.flights else None
        step = draw.choice(
            ("take", "take", "claim", "claim", "claim", "settle", "settle", "settle", "lease", "due", "due", "rest", "back", "pause",
             "wake", "deadline")
        )  # fmt: skip
        worker, number = draw.choice(WORKERS), draw.randrange(2)
        if step == "take":
            steps.delayed_fall_due()
            steps.take_all(worker)
        elif step == "claim":
            steps.claim_one(number, worker, again=draw.random() < 0.2)
        elif step == "settle" and flight and flight.verb == "read_back":
            if flight.listed is None:
                steps.list_one(flight, tells=draw.random() < 0.7)
            else:
                steps.judge_one(flight)
        elif step == "settle" and flight:
            if flight.verb == "call" and not flight.carried_out and draw.random() < 0.7:
                steps.send(flight)
            steps.settle_one(flight, draw.choice(steps.possible(flight)))
        elif step == "lease":
            steps.lease_ends(KEY, long_ago=draw.random() < 0.5)
            steps.note_time()
        elif step == "due":
            steps.read_back_falls_due(KEY)
            steps.note_time()
        elif step == "rest":
            steps.reader_rests_no_more()
            steps.note_time(reader_gone=True)
        elif step == "back":
            steps.hand_all_back(worker)
        elif step == "pause":
            steps.pause(word="resume" if steps.model.paused else "pause")
            steps.note_time()
        elif step == "wake":
            steps.wake_parked()
        elif step == "deadline" and draw.random() < 0.2:
            steps.messages[number].overdue = True
            steps.note_time()
        steps.note_state()
    return steps.lines


@pytest.mark.skipif(not shutil.which("spin"), reason="spin is not installed (Debian: apt-get install spin)")
def test_the_model_accepts_what_the_scripts_did(_redis_server: EmbeddedRedis, tmp_path: Path) -> None:  # noqa: PT019 - a fixture with a value
    lines: list[str] = []
    with redis.Redis(port=_redis_server.port, socket_timeout=30) as client:
        for seed in range(TRACES):
            lines += trace(client, random.Random(seed))  # noqa: S311 - steps, no secrets
    for name in ("ledger.pml", "replay.pml"):
        shutil.copy(PROOF / name, tmp_path)
    program = '#include "replay.pml"\ninit {\n' + ";\n".join(lines) + "\n}\n"
    (tmp_path / "trace.pml").write_text(program, encoding="utf-8")
    done = subprocess.run(
        ["spin", "-T", "trace.pml"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    assert "rror" not in done.stdout + done.stderr, done.stdout[-1500:] + done.stderr[-1500:]
    # The model took every line.
    assert "processes created" in done.stdout
    assert len(lines) > TRACES * STEPS
