"""Workers of an older commit beside those of this one, and back again: what the one leaves in Redis, the other carries out."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from time import sleep, time

import pytest

from tests.chaos.__main__ import wait_for_the_rest
from tests.chaos.account import Account
from tests.chaos.blows import WIRE_FAULTS
from tests.chaos.load import Load
from tests.harness import House, RunningWorker, wait_for
from tests.harness.older import ROOT, NoHistory, check_out

#: Nothing has been released yet, so two commits stand for the releases before this one.
#: The last whose workers know no number for the form of what is stored: they neither write nor read it, and nobody can refuse them.
WITHOUT_A_NUMBER = "7b49ca31716dfaf73aa828f728e13302d7a68dbf"
#: One that has the number, and the last that knows nothing of the deaths of a message's workers and of numbered fetches.
OF_THE_SAME_FORM = "07812ce630d0a0f00745ac955987a2aaf6458a41"
BLOWS = round(12 * float(os.environ.get("CHAOS_SCALE", "1")))
ELSEWHERE = "worker-elsewhere"
OPTIONS = {"WORKER_HEARTBEAT_SECONDS": 1, "WORKER_CONCURRENCY": 8}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Room for another copy of the project."""
    with tempfile.TemporaryDirectory(prefix="project-") as path:
        yield Path(path)


def older_or_skip(commit: str, folder: Path) -> Path:
    """The project as it was; skips the test where the history is not there."""
    try:
        return check_out(commit, folder)
    except NoHistory as reason:
        pytest.skip(str(reason))


def form(house: House) -> int:
    """The number of the form in use."""
    return int(house.redis.get("coupontools:format") or 1)


@pytest.mark.chaos
@pytest.mark.parametrize("commit", [WITHOUT_A_NUMBER, OF_THE_SAME_FORM], ids=lambda commit: commit[:7])
def test_an_older_commit_works_beside_this_one_and_after_it(house: House, folder: Path, commit: str) -> None:
    older = older_or_skip(commit, folder)
    dice = Random(os.environ.get("CHAOS_SEED", "7"))  # noqa: S311 - moments, not secrets
    house.sandbox.settings(email_listing=True, latency_ms=30)
    load = Load(house, Random("load"), per_second=20)  # noqa: S311 - as above
    struck: Counter[str] = Counter()

    def start(which: str) -> RunningWorker:
        return house.worker(project=older if which == "older" else None, **OPTIONS)

    # Somewhere else lives one more of the older ones, as through most of an upgrade: while each of these two is killed now and then,
    # the other must not take itself for the only one, and the form rise.
    house.redis.zadd("dramatiq:__heartbeats__", {ELSEWHERE: (time() + 3600) * 1000})
    house.redis.hset("coupontools:workers", ELSEWHERE, json.dumps({"silence_ms": 3_600_000, "reads": [1, 2]}))
    load.start()
    try:
        workers = {which: start(which) for which in ("older", "newer")}
        # Lost answers: what one of them called is read back by whoever takes the job over.
        house.sandbox.faults("mixed", kinds=WIRE_FAULTS, probability=0.2, seed=5)
        for which in itertools.islice(itertools.cycle(workers), BLOWS):
            if dice.random() < 0.5:
                struck[f"{which} killed"] += 1
                workers[which].kill()
                workers[which] = start(which)
            elif children := workers[which].children():
                struck[f"a process of {which} killed"] += 1
                with suppress(ProcessLookupError):
                    os.kill(children[0], signal.SIGKILL)
            # The next blow must come at a random moment, so this waits for no condition.
            sleep(dice.random())
        # And back: what the newer one has in hand when it is told to stop, the older one carries out.
        struck["newer told to stop"] += 1
        assert workers["newer"].terminate() == 0
        answered = len(house.events())
        wait_for(lambda: len(house.events()) > answered + 100, seconds=60, what="the older one's answers")
        workers["newer"] = start("newer")
        struck["older told to stop"] += 1
        assert workers["older"].terminate() == 0
        assert form(house) < 3
        house.redis.zrem("dramatiq:__heartbeats__", ELSEWHERE)
        house.redis.hdel("coupontools:workers", ELSEWHERE)
        wait_for(lambda: form(house) == 3, what="the form that all who are left read")
        house.sandbox.clear_faults()
    finally:
        load.stop()
    wait_for_the_rest(house, set(load.sent))
    account = Account(house, load, struck)
    sys.stdout.write(f"\n{commit[:7]} beside this one: {account}\n")
    assert account.faults == []


@pytest.mark.chaos
def test_who_cannot_read_the_form_in_use_is_refused_and_nothing_is_lost(house: House, folder: Path) -> None:
    """This release and one that is made up, the next: it reads 3 and 4."""
    for room in ("actors", "config", "coupontools", "delivery", "workers"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    source = folder / "workers" / "broker" / "enrolment.py"
    text, found = re.subn(
        r"^FORMS = \(1, 2, 3\)$", "FORMS = (3, 4)", source.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert found == 1
    source.write_text(text, encoding="utf-8")
    group = house.new_group()
    numbers = itertools.count(32470000000)

    def jobs() -> list[str]:
        return [
            house.enqueue("add_contact", channel="sms", group_id=group, phone=f"+{next(numbers)}")
            for _ in range(20)
        ]

    def refused(worker: RunningWorker, reason: str) -> None:
        assert worker.process.wait(timeout=240) == 2, worker.log_text[-3000:]
        (line,) = worker.log_lines("worker.refused")
        assert reason in line["reason"]

    house.redis.set("coupontools:format", 1)
    ids = jobs()
    # Two releases at once are one too many: the form of the release before the last one is not read.
    refused(
        house.worker(wait=False, project=folder, **OPTIONS),
        "has form 1, as the key coupontools:format says; this release reads 3 to 4",
    )
    this = house.worker(**OPTIONS)
    house.wait_answered(ids)
    wait_for(lambda: form(house) == 3, what="the form that all living workers read")
    following = house.worker(project=folder, **OPTIONS)
    ids += jobs()
    house.wait_answered(ids)
    assert form(house) == 3
    this.kill()
    wait_for(lambda: form(house) == 4, what="the form of those that are left", show=house.log_tail)
    ids += jobs()
    refused(
        house.worker(wait=False, **OPTIONS),
        "has form 4, as the key coupontools:format says; this release reads 1 to 3",
    )
    answers = house.wait_answered(ids)
    assert {event["type"] for events in answers.values() for event in events} == {"coupontools.contact.added"}
    assert all(len(events) == 1 for events in answers.values())
    assert following.terminate() == 0
