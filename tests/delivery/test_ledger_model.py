"""The real scripts on a real Redis, compared with the model of the state diagram; hypothesis draws the steps and their order."""

from __future__ import annotations

import os
import sys
from collections import Counter

import hypothesis.strategies as st
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.harness.ledger_model import WORKERS
from tests.harness.ledger_steps import InFlight, LedgerSteps
from workers.embedded import EmbeddedRedis

SCALE = float(os.environ.get("CHAOS_SCALE", "1"))
#: Enough messages to get in one another's way; with more of them, two steps would seldom meet.
MOST_MESSAGES = 6
#: The steps of one rule, each as often as its weight. If each step were a rule, hypothesis would switch off too many of them at a time
#: to reach the deep states.
STEPS = (
    ("enqueue",) * 2
    + ("work",) * 6
    + ("claim",) * 2
    + ("send",) * 4
    + ("settle",) * 6
    + ("time_passes",) * 5
    + ("lease_ends",) * 2
    + ("take_over",) * 2
    + ("listing",) * 5
    + ("deadline_passes",)
    + ("pause",)
    + ("resume",) * 2
    + ("unpark",) * 2
    # Several steps at once: the states behind them are seldom reached one step at a time.
    + ("lose_an_answer",) * 3
    + ("read_back",) * 4
)


class LedgerMachine(RuleBasedStateMachine):
    """Draws the next step, and the message or the claim that takes it."""

    client: redis.Redis
    verbs: Counter[str]

    @initialize(
        actor=st.sampled_from(["add_contact", "create_group", "list_contacts"]),
        keys=st.lists(st.sampled_from("aab"), min_size=1, max_size=4),
        derived=st.booleans(),
    )
    def begin(self, actor: str, keys: list[str], *, derived: bool) -> None:
        self.steps = LedgerSteps(self.client, actor, derived=derived and actor == "add_contact")
        for key in keys:
            self.steps.enqueue(key)
        self.steps.fetch("w1", 2)
        self.steps.claim(self.steps.messages[0], "w1")

    @rule(
        step=st.sampled_from(STEPS),
        pick=st.integers(0, 999),
        key=st.sampled_from("aaabbc"),
        worker=st.sampled_from(WORKERS),
        reply_lost=st.booleans(),
    )
    def next_step(  # noqa: PLR0912 - one branch a step
        self, step: str, pick: int, key: str, worker: str, *, reply_lost: bool
    ) -> None:
        steps = self.steps
        match step:
            case "enqueue":
                if len(steps.messages) < MOST_MESSAGES:
                    steps.enqueue(key, conflicting=pick % 8 >= (4 if steps.derived else 7))
            case "work":
                steps.fetch(worker, 1 + pick % 3)
                if own := [message for message in steps.messages if message.place == worker]:
                    steps.claim(own[pick % len(own)], worker, reply_lost=reply_lost)
            case "claim":
                # Also a message that this worker does not have, or no longer has.
                steps.claim(steps.messages[pick % len(steps.messages)], worker, reply_lost=reply_lost)
            case "send":
                if flight := self.one_of("call", pick):
                    steps.send(flight, arrives=pick % 3 > 0)
            case "settle":
                if flight := self.one_of("call found expired waited unknown replay conflict", pick):
                    ops = steps.possible(flight)
                    steps.settle(flight, ops[pick // 7 % len(ops)], reply_lost=reply_lost)
            case "time_passes":
                self.time_passes(pick)
            case "lease_ends":
                steps.lease_ends(key, long_ago=reply_lost)
            case "take_over":
                steps.take_over(worker)
            case "listing":
                if flight := self.one_of("read_back", pick):
                    if flight.listed is None:
                        told = iter(range(pick, pick + 9))
                        steps.read_listing(flight, lambda: next(told) % 4 > 0)
                    else:
                        steps.judge(flight, reply_lost=reply_lost)
            case "lose_an_answer":
                if flight := self.one_of("call", pick):
                    steps.send(flight, arrives=pick % 3 > 0)
                    if "lost" in steps.possible(flight):
                        steps.settle(flight, "lost", reply_lost=reply_lost)
            case "read_back":
                self.read_back(worker, told=pick % 5 > 0)
            case "pause" | "resume":
                steps.pause(word=step)
            case "unpark":
                steps.unpark()
            case "deadline_passes":
                steps.messages[pick % len(steps.messages)].overdue = True

    def one_of(self, verbs: str, pick: int) -> InFlight | None:
        flights = [
            flight
            for flight in self.steps.flights
            if flight.verb in verbs.split() and not (verbs == "call" and flight.carried_out)
        ]
        return flights[pick % len(flights)] if flights else None

    def read_back(self, worker: str, *, told: bool) -> None:
        """Let all that waits fall due, claim it, and read the listing if a claim says so; then once more, to claim what was found."""
        steps = self.steps
        for _ in range(2):
            self.time_passes(97)
            steps.fetch(worker, 100)
            for message in [message for message in steps.messages if message.place == worker]:
                if all(flight.message is not message for flight in steps.flights):
                    steps.claim(message, worker)
            flight = self.one_of("read_back", 0)
            if flight and flight.listed is None:
                steps.read_listing(flight, lambda: told)
                steps.judge(flight)

    def time_passes(self, pick: int) -> None:
        """Let everything that waits fall due, or at times only some of it."""
        if pick % 4:
            self.steps.delayed_fall_due()
        for number, key in enumerate("abc"):
            if pick % 5 != number:
                self.steps.read_back_falls_due(key)
        if pick % 3:
            self.steps.reader_rests_no_more()

    @invariant()
    def what_stands_in_redis_is_what_the_model_says(self) -> None:
        if hasattr(self, "steps"):
            self.steps.check_messages()
            self.steps.check_records()

    def teardown(self) -> None:
        """Bring everything that is still under way to its end: nothing may be lost or left behind."""
        if not hasattr(self, "steps"):
            return
        self.verbs += self.steps.verbs
        steps = self.steps
        for _ in range(60):
            if not steps.flights and all(message.place is None for message in steps.messages):
                break
            for flight in list(steps.flights):
                self.bring_to_its_end(flight)
            for key in "abc":
                steps.lease_ends(key, long_ago=True)
                steps.read_back_falls_due(key)
            steps.reader_rests_no_more()
            steps.pause(word="resume")
            steps.unpark()
            steps.delayed_fall_due()
            steps.take_over("w2")
            steps.fetch("w1", 100)
            for message in [message for message in steps.messages if message.place == "w1"]:
                steps.claim(message, "w1")
            self.what_stands_in_redis_is_what_the_model_says()
        assert all(message.answered and message.place is None for message in steps.messages)

    def bring_to_its_end(self, flight: InFlight) -> None:
        steps = self.steps
        if flight.verb == "read_back":
            if flight.listed is None:
                steps.read_listing(flight, lambda: True)
            steps.judge(flight)
            return
        if flight.verb == "call" and steps.kind.effect and not flight.carried_out:
            steps.send(flight)
        steps.settle(flight, steps.possible(flight)[0])


def test_any_order_of_any_steps(_quick_redis_server: EmbeddedRedis) -> None:  # noqa: PT019 - a fixture with a value
    verbs: Counter[str] = Counter()
    with redis.Redis(port=_quick_redis_server.port, socket_timeout=30) as client:
        machine = type("Machine", (LedgerMachine,), {"client": client, "verbs": verbs})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=round(20 * SCALE),
                stateful_step_count=50,
                deadline=None,
                database=None,
                print_blob=True,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
    sys.stdout.write(f"\nanswers of claim: {dict(verbs.most_common())}\n")
