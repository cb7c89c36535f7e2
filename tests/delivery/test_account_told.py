"""The signal that a failed call gives about the account, the holds that are logged, and how a listing waits for its slot."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
from typing import Any

import pytest
from structlog.testing import capture_logs

from coupontools import AccountRefused, CoupontoolsError, MayHaveHappened, NotCarriedOut, NotSent
from delivery import Gate, Ledger, LogLine, tell
from delivery.account import BAD_CREDENTIALS, trouble
from delivery.means import Means
from delivery.retry import meaning_of
from delivery.settlement import Changes
from tests.harness.attempts import POLICY
from tests.harness.records import KEYS, NOW_US, Make
from tests.harness.still_clock import StillClock


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            NotSent("no connection", outage=True),
            {"word": "outage", "text": "add_contact: no connection", "connect": True},
        ),
        (
            MayHaveHappened("bad", status=502, outage=True),
            {"word": "outage", "text": "add_contact: bad (HTTP 502)"},
        ),
        (NotCarriedOut("slowly", status=429, retry_after=2.5), {"word": "well", "text": "slowly", "pause": 2500}),
        (NotCarriedOut("slowly", status=429), {"word": "well", "text": "slowly", "pause": 1500}),
        (
            AccountRefused("no SMS", scope="sms", code=103, status=200),
            {"word": "refused", "text": "no SMS", "scope": "sms", "code": "103"},
        ),
        (
            AccountRefused("wrong secret", code=BAD_CREDENTIALS, status=200),
            {"word": "refused", "text": "wrong secret", "code": "1000", "by_secret": True},
        ),
        (
            AccountRefused("moved", status=302),
            {"word": "refused", "text": "moved", "bare": True, "lost": True},
        ),
        # Other processes print the text, and do not know which number to mask in it.
        (
            AccountRefused("refused for +32470123456", code=101, status=200),
            {"word": "refused", "text": "refused for +32•••••56", "code": "101"},
        ),
    ],
)  # fmt: skip
def test_a_failed_call_says_of_the_account_what_its_answer_meant(
    still_task: Make, monkeypatch: pytest.MonkeyPatch, error: CoupontoolsError, told: dict[str, Any]
) -> None:
    task = still_task("job")
    monkeypatch.setattr("delivery.account.now", lambda: 102.5)
    task.cost.call_began = 100.0
    signal = trouble(task, meaning_of(error, effect=True, shortest_pause=1.5), error)
    assert dataclasses.asdict(signal) == {
        "call": "add_contact",
        "about": task.about,
        "channel": "sms",
        "scope": "account",
        "code": "",
        "took": 2500,
        "pause": 0,
        "connect": False,
        "broken": None,
        "bare": False,
        "lost": False,
        "by_secret": False,
        "worker": f"{socket.gethostname()}:{os.getpid()}",
        **told,
    }


def test_only_a_secret_that_is_refused_is_told_as_that(still_task: Make) -> None:
    """In another kind of answer, the same number may mean something else."""
    error = MayHaveHappened("odd", code=BAD_CREDENTIALS)
    assert not trouble(still_task("job"), meaning_of(error, effect=True, shortest_pause=1.5), error).by_secret


def test_the_log_tells_which_holds_began_and_ended() -> None:
    refused = {"scope": "sms", "kind": "refused", "code": "103", "message": "no SMS"}
    paused = {"scope": "account", "kind": "paused", "code": "", "message": "rest"}
    with capture_logs() as lines:
        tell(Changes(began=(refused, paused), ended=(paused,)))
    assert [{name: value for name, value in line.items() if name != "log_level"} for line in lines] == [
        {"event": "account.held", "scope": "sms", "kind": "refused", "code": 103, "message": "no SMS"},
        {"event": "account.held", "scope": "account", "kind": "paused", "code": None, "message": "rest"},
        {"event": "account.released", "scope": "account", "kind": "paused"},
    ]


@pytest.mark.parametrize(
    ("rate", "ahead_us", "slept"),
    [
        # Without a rate limit there are no slots.
        (0, 60_000_000, []),
        (10, 0, [0.0]),
        (10, 150_000, [0.15]),
        # The slot is too far ahead to be reserved, so the listing asks again when it may reserve.
        (10, 1_200_000, [1.0, 0.2]),
    ],
)
async def test_a_listing_waits_for_its_slot_and_asks_again_where_it_got_none(
    still: StillClock, monkeypatch: pytest.MonkeyPatch, rate: int, ahead_us: int, slept: list[float]
) -> None:
    policy = dataclasses.replace(POLICY, rate=rate)
    still.redis.hset(KEYS.pace, "tat", NOW_US + ahead_us)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        still.now += round(seconds * 1000)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    api: Any = None
    means = Means(Ledger(still, KEYS, policy), api, Gate(4), policy, LogLine())
    await means.take_slot("contacts")
    assert waits == slept
    assert bool(rate) is (float(still.all()[KEYS.pace]["tat"]) == NOW_US + ahead_us + 100_000)
