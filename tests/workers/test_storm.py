"""Worker processes are killed, frozen and told to stop at random moments under load: nothing is stranded, doubled or answered wrongly.

The figures are printed (pytest -s). `make long` sends two hundred signals of each kind.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from tests.harness import House, RunningWorker, wait_for

SIGNALS = round(20 * float(os.environ.get("CHAOS_SCALE", "1")))
QUEUES = ("webhooks", "groups", "contacts", "reads", "bulk")
#: Jobs enqueued before each signal.
JOBS = 12
#: Of a moment: from the start of a process, which loads for a second or two, to where it has nothing to do.
LATEST_SECONDS = 2.0
#: More waiting jobs than this are worked off before the next signal, so that none is hit again and again by bad luck.
BACKLOG = 60
#: How long an idle house may take to come to rest after the last signal.
REST_SECONDS = 120.0


def _enqueue(house: House, group: str, turn: int) -> list[str]:
    contacts: list[dict[str, Any]] = [
        {"channel": "sms", "group_id": group, "phone": f"+3247{turn:05d}{one:02d}"} for one in range(JOBS - 3)
    ]
    return [
        *house.enqueue_many("add_contact", contacts),
        house.enqueue("create_group", channel="sms", name=f"Group {turn}"),
        house.enqueue("list_groups", channel="email"),
        house.enqueue("verify_webhook", webhook_id=f"evt_{turn}"),
    ]


def _waiting(house: House) -> int:
    return sum(int(house.redis.hlen(f"dramatiq:{queue}.msgs")) for queue in QUEUES)


class Storm:
    """Sends signals of one kind to the workers of a house, and starts another worker where one ended."""

    def __init__(self, house: House, number: int, dice: random.Random) -> None:
        self._house = house
        self._number = number
        self._dice = dice
        self._frozen: dict[int, float] = {}
        self._workers = [self._start(), self._start()]

    def _start(self) -> RunningWorker:
        return self._house.worker("--concurrency", "8", wait=False, WORKER_HEARTBEAT_SECONDS=1)

    def strike(self) -> None:
        """One signal, to a worker process or to one worker as a whole."""
        place = self._dice.randrange(2)
        worker = self._workers[place]
        children = worker.children()
        if self._number == signal.SIGTERM:
            worker.process.terminate()
            self._workers[place] = self._start()
        elif self._number == signal.SIGSTOP:
            if children:
                self._frozen[children[0]] = time.monotonic() + self._dice.uniform(0.1, 7.0)
                self._send(children[0], signal.SIGSTOP)
        elif self._dice.random() < 0.2:
            worker.kill()
            self._workers[place] = self._start()
        elif children:
            self._send(children[0], signal.SIGKILL)
        self.thaw(time.monotonic())

    def thaw(self, now: float) -> None:
        """Wake those whose time is over; a supervisor may have replaced one already."""
        for pid in [pid for pid, until in self._frozen.items() if until <= now]:
            del self._frozen[pid]
            self._send(pid, signal.SIGCONT)

    def has_room(self) -> bool:
        """Return whether the backlog is worked off so far that the next signal may come."""
        self.thaw(time.monotonic())
        return _waiting(self._house) < BACKLOG

    @staticmethod
    def _send(pid: int, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.mark.chaos
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM], ids=lambda each: each.name
)
def test_nothing_is_stranded(house: House, number: signal.Signals) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "7"))
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    house.sandbox.settings(latency_ms=30)
    group = house.new_group()
    storm = Storm(house, number, dice)
    ids: list[str] = []
    for turn in range(SIGNALS):
        ids += _enqueue(house, group, turn)
        # The signal must come at a random moment, so this waits for no condition.
        time.sleep(dice.uniform(0.0, LATEST_SECONDS))
        storm.strike()
        wait_for(
            storm.has_room, seconds=REST_SECONDS, what="a backlog that is worked off", show=house.log_tail
        )
    storm.thaw(float("inf"))
    answers = house.wait_answered(ids, seconds=REST_SECONDS)
    wait_for(lambda: _waiting(house) == 0, seconds=REST_SECONDS, what="nothing left", show=house.log_tail)
    wrong = Counter(
        f"{event['type']} {event['data'].get('error', {}).get('kind')}"
        for events in answers.values()
        for event in events
        if event["type"].endswith(".failed")
    )
    doubled = [one for one, events in answers.items() if len(events) > 1]
    told = Counter(line["event"] for worker in house.workers for line in worker.log_lines())
    sys.stdout.write(
        f"\n{SIGNALS} x {number.name}, seed {seed}: {len(ids)} jobs, stranded 0, answered twice {len(doubled)}, "
        f"wrong {dict(wrong)}, surplus contacts {house.counts()['surplus_contacts']}, "
        f"groups {house.counts()['surplus_groups']}; taken over {told['worker.taken_over']}, "
        f"tried alone {told['message.tried_alone']}, put back {told['queue.put_back']}\n"
    )
    assert not doubled
    assert not wrong
    assert house.counts()["surplus_contacts"] == house.counts()["surplus_groups"] == 0
    # What `status` shows is what Redis holds: nothing anywhere.
    shown = json.loads(house.run("status", "--json").stdout)["queues"]
    places = ("ready", "delayed", "running", "parked", "dead")
    assert {queue: sum(shown[queue][place] for place in places) for queue in QUEUES} == dict.fromkeys(
        QUEUES, 0
    )
    left = {key.decode() for key in house.redis.scan_iter("dramatiq:*")}
    assert {key for key in left if "__heartbeats__" not in key and "__prefix__" not in key} == set()
