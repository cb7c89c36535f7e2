"""Attempts at jobs whose call ends as a test says, and an observer that notes everything they report."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, ClassVar

from actors.add_contact import AddContact
from coupontools import Call, Coupontools
from delivery import Outcome, Task, Unknown, Verdict
from delivery.attempt import Attempt
from delivery.means import Means
from delivery.retry import Backoff
from tests.harness.records import KEYS
from tests.harness.still_clock import StillClock
from tests.harness.sync_ledger import LONG_POLICY

#: Backoffs with equal bounds, so that a test knows them to the millisecond.
POLICY = dataclasses.replace(LONG_POLICY, backoff=Backoff(2.0, 2.0), read_back_after=7.0)
ADDED = Outcome("contact.added", {"channel": "sms"}, subject="con_1")


class Scripted(AddContact):
    """An add_contact whose call returns or raises ``result``; ``sends``: do bytes leave before that?"""

    result: ClassVar[Any] = ADDED
    sends: ClassVar[bool] = True

    async def call(self, api: Coupontools, call: Call) -> Outcome:
        if self.sends and call.before_send:
            call.before_send()
        if isinstance(self.result, BaseException):
            raise self.result
        outcome: Outcome = self.result
        return outcome

    async def read_back(self, api: Any, call: Any, unknowns: list[Unknown], ids: Any) -> Any:
        if isinstance(self.result, BaseException):
            raise self.result
        for unknown in unknowns:
            yield Verdict(unknown, "found", {"contact_id": "con_1"})


class Lines:
    """An observer that notes everything attempts report."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.calls = 0
        self.listings = 0
        self.rejected: list[str] = []

    def attempt_finished(self, task: Task, outcome: str, fields: dict[str, Any]) -> None:
        self.lines.append((outcome, fields))

    def call_finished(self, task: Task, seconds: float) -> None:
        assert seconds >= 0
        self.calls += 1

    def read_back_finished(self, task: Task) -> None:
        self.listings += 1

    def entry_rejected(self, queue: str) -> None:
        self.rejected.append(queue)


async def attempt(means: Means, task: Task) -> tuple[Attempt, bool]:
    """Attempt a job once; return whether its message is not outstanding any more."""
    tried = Attempt(means, task)
    ticket = await means.gate.enter(task.queue, task.holds, None, 3600)
    with means.gate.inside(ticket):
        return tried, await tried.run(ticket)


def only(lines: Lines) -> tuple[str, dict[str, Any]]:
    [line] = lines.lines
    return line


def event(still: StillClock) -> dict[str, Any]:
    [entry] = still.all()[KEYS.events]
    told: dict[str, Any] = json.loads(entry["event"])
    return told
