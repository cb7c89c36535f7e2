"""Redis fails in one way after another while all kinds of jobs run: nothing is lost, doubled or answered wrongly.

A first run gathers the commands and requests that will fail. The figures are printed (pytest -s).
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from random import Random
from typing import Self

import pytest
from typer.testing import CliRunner

from delivery.scripts import SCRIPTS as DELIVERY
from tests.chaos.__main__ import wait_for_the_rest
from tests.chaos.account import Account
from tests.chaos.answered import Answered
from tests.chaos.load import Load
from tests.harness import House, RunningWorker, wait_for
from tests.harness.redis_proxy import RedisProxy
from tests.harness.refusals import Refusals
from workers.broker.scripts import SCRIPTS as BROKER
from workers.cli.main import build_app

pytestmark = pytest.mark.chaos

NAMES = {script.sha: f"{script.name}.lua" for script in (*DELIVERY.values(), *BROKER.values())}
#: For how many seconds each thing is broken.
SECONDS = 1.0 if "CHAOS_SCALE" in os.environ else 0.4
#: For how many seconds at most it is broken if nothing asks for it.
LONGEST_SECONDS = 6.0
PER_SECOND = 40
#: How often Redis takes no writes at all.
TIMES = round(6 * float(os.environ.get("CHAOS_SCALE", "1")))
ERRORS = {
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
    "READONLY": "READONLY You can't write against a read only replica.",
}
#: What an operator does meanwhile. A worker process is killed now and then, too, so that starts and takeovers meet the fault as well.
CHORES = (
    ("pause", "--scope", "sms"),
    ("resume", "--scope", "sms"),
    ("dead", "retry", "--all", "--limit", "2"),
)


class Sweep:
    """Breaks one thing after another while jobs of all kinds run, and draws up an account."""

    def __init__(self, house: House, url: str) -> None:
        self._house = house
        house.sandbox.settings(email_listing=True, latency_ms=50)
        self.worker: RunningWorker = house.worker(
            "--concurrency", "16", REDIS_URL=url, WORKER_HEARTBEAT_SECONDS=1, WORKER_PROCESSES=2
        )
        self._load = Load(house, Random(7), PER_SECOND)  # noqa: S311 - a repeatable run, no secrets
        self._answered = Answered(house)
        self._chores = itertools.cycle(CHORES)
        self._rounds = itertools.count()
        self._struck: Counter[str] = Counter()
        self._longest = (0.0, "nothing")

    def __enter__(self) -> Self:
        self._load.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._load.stop()

    def warm_up(self) -> None:
        """Do once everything that happens in a round."""
        for _ in CHORES:
            self._meanwhile()
        self._recover("nothing")

    def round(
        self, what: str, broken: AbstractContextManager[Callable[[], object]], *, takes_writes: bool = True
    ) -> None:
        """Break one thing until a worker has met it; then wait for the answers to all jobs that were sent before it was mended."""
        if not takes_writes:
            self._meanwhile()
        with broken as met:
            begin = time.monotonic()
            if takes_writes:
                self._meanwhile()
            wait_for(
                lambda: (
                    time.monotonic() - begin >= SECONDS
                    and (met() or time.monotonic() - begin > LONGEST_SECONDS)
                ),
                seconds=60,
                what="the end of what is broken",
            )
        self._struck[what] += 1
        self._recover(what)

    def account(self) -> Account:
        """Wait for the jobs that are left, and draw up the account."""
        self._load.stop()
        self._command("resume", "--scope", "sms")
        wait_for_the_rest(self._house, set(self._load.sent))
        account = Account(self._house, self._load, self._struck)
        sys.stdout.write(f"\n{account}\nlongest recovery {self._longest[0]:.1f} s ({self._longest[1]})\n")
        return account

    def _meanwhile(self) -> None:
        self._command("cancel", "--batch", self._load.batch(6))
        self._command(*next(self._chores))
        # Not in every round: a process that keeps dying is started again after longer and longer pauses.
        if next(self._rounds) % 3 == 0:
            for child in self.worker.children()[:1]:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)

    def _command(self, *arguments: str) -> None:
        """Run a command in this process, since a process of its own would show nothing more."""
        CliRunner().invoke(build_app(arguments[0]), list(arguments), env=self._house.environment())

    def _recover(self, what: str) -> None:
        self._command("resume", "--scope", "sms")
        sent, mended = set(self._load.sent), time.monotonic()
        wait_for(
            lambda: self._answered.holds(sent),
            seconds=60,
            what=f"all answers after {what}",
            show=self._house.log_tail,
        )
        if what != "nothing":
            self._longest = max(self._longest, (time.monotonic() - mended, what))


def test_each_command_is_refused(house: House) -> None:
    with Refusals(house.redis, house.server.port) as refusals, Sweep(house, refusals.url) as sweep:
        refusals.forget_calls()
        sweep.warm_up()
        commands = refusals.called()
        for command in commands:
            sweep.round(command, _refused(refusals, command))
        assert sweep.account().faults == []
        assert sweep.worker.log_lines("job.fault") == []
        sys.stdout.write(f"{len(commands)} commands were refused: {' '.join(commands)}\n")


@pytest.mark.parametrize("error", ERRORS)
def test_each_request_is_answered_with_an_error(house: House, error: str) -> None:
    """The error is that of a Redis that is full, or that is a replica since a failover."""
    with RedisProxy(house.server.port) as proxy, Sweep(house, proxy.url) as sweep:
        sweep.warm_up()
        kinds = sorted(proxy.kinds)
        for kind in kinds:
            sweep.round(NAMES.get(kind, kind), _answered(proxy, kind, ERRORS[error]))
        assert sweep.account().faults == []
        assert sweep.worker.log_lines("job.fault") == []
        left = [NAMES.get(kind, kind) for kind in kinds if not proxy.refused[kind]]
        sys.stdout.write(
            f"{len(kinds)} kinds of requests, {proxy.refused.total()} times answered with {error}; not met: {left}\n"
        )


def test_the_reply_to_each_request_is_lost(house: House) -> None:
    """Redis has carried out the request, but the worker does not learn it."""
    with RedisProxy(house.server.port) as proxy, Sweep(house, proxy.url) as sweep:
        sweep.warm_up()
        kinds = sorted(proxy.kinds)
        for kind in kinds:
            sweep.round(NAMES.get(kind, kind), _lost(proxy, kind))
        # A request that did not come in its round may come in a later one.
        for _ in range(5):
            if proxy.waiting():
                sweep.round("what was left", nullcontext(lambda: not proxy.waiting()))
        assert sweep.account().faults == []
        assert sweep.worker.log_lines("job.fault") == []
        left = [NAMES.get(kind, kind) for kind in proxy.waiting()]
        sys.stdout.write(f"{len(kinds)} kinds of requests, {proxy.dropped} replies lost; not met: {left}\n")


@pytest.mark.parametrize("trouble", ERRORS)
def test_redis_takes_no_writes(house: House, trouble: str) -> None:
    """Redis is full, or a replica, at random moments: answers in hand are written when it takes writes again."""
    with Sweep(house, house.server.url) as sweep:
        sweep.warm_up()
        for _ in range(TIMES):
            sweep.round(trouble, _no_writes(house, trouble), takes_writes=False)
        assert sweep.account().faults == []
        assert sweep.worker.log_lines("job.fault") == []


@contextmanager
def _refused(refusals: Refusals, command: str) -> Iterator[Callable[[], object]]:
    with refusals.refused(command):
        yield lambda: True


@contextmanager
def _answered(proxy: RedisProxy, kind: str, error: str) -> Iterator[Callable[[], object]]:
    with proxy.answering(kind, error):
        yield lambda: proxy.refused[kind]


@contextmanager
def _lost(proxy: RedisProxy, kind: str) -> Iterator[Callable[[], object]]:
    before = proxy.dropped
    proxy.drop_reply_to(kind)
    yield lambda: proxy.dropped > before


@contextmanager
def _no_writes(house: House, trouble: str) -> Iterator[Callable[[], object]]:
    if trouble == "OOM":
        house.redis.config_set("maxmemory", 1)
    else:
        house.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield lambda: True
    finally:
        house.redis.config_set("maxmemory", 0)
        house.redis.execute_command("REPLICAOF", "NO", "ONE")
