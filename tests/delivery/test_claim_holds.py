"""Which jobs claim.lua parks for a hold, and which job it makes the hold's probe."""

from __future__ import annotations

import json
from typing import Any

import pytest

from delivery.claim import Claim
from tests.harness.holds import put_hold
from tests.harness.records import (
    COVER_MS,
    KEYS,
    LIFE_MS,
    Ask,
    Make,
)
from tests.harness.still_clock import NOW, StillClock


@pytest.mark.parametrize(
    "name",
    [
        "account/paused",
        "account/refused",
        "sms/paused",
        "sms/refused",
        "account/outage",
        "sms/outage/add_contact",
    ],
)
def test_what_a_hold_concerns_is_parked_for_it(
    still: StillClock, still_task: Make, claim: Ask, name: str
) -> None:
    put_hold(still.redis, KEYS, name, retry_at=NOW + 900)
    still.redis.delete(KEYS.still)
    job = still_task("job")
    assert claim(job) == Claim("parked", job.deadline, hold=name)
    place = f"{name}|contacts|sms/add_contact"
    found = still.all()
    assert found[KEYS.parked] == {place}
    assert found[f"{KEYS.parked}:{place}"] == {"job": job.since}
    assert "acks" not in found


@pytest.mark.parametrize(
    "name",
    [
        "email/paused",
        "email/refused",
        "email/outage/add_contact",
        "sms/outage/create_group",
        "account/refused/other",
    ],
)
def test_what_a_hold_does_not_concern_goes_on(
    still: StillClock, still_task: Make, claim: Ask, name: str
) -> None:
    put_hold(still.redis, KEYS, name, retry_at=NOW + 900)
    assert claim(still_task("job")).verb == "call"


@pytest.mark.parametrize("name", ["account/paused", "account/refused", "account/outage/verify_webhook"])
def test_a_job_of_the_whole_account_is_held_by_the_account_s_holds(
    still: StillClock, still_task: Make, claim: Ask, name: str
) -> None:
    put_hold(still.redis, KEYS, name, retry_at=NOW + 900)
    job = still_task("job", "verify_webhook", webhook_id="evt_1")
    assert claim(job).hold == name


@pytest.mark.parametrize(
    ("retry_at", "word"),
    [
        (NOW, "call"),
        (NOW + 1, "parked"),
        (NOW + 60_000 + COVER_MS, "parked"),
        (NOW + 60_001 + COVER_MS, "call"),
    ],
)
def test_when_a_hold_s_time_has_come_one_claim_is_its_probe(
    still: StillClock, still_task: Make, claim: Ask, retry_at: int, word: str
) -> None:
    put_hold(still.redis, KEYS, "account/outage", retry_at=retry_at)
    answer = claim(still_task("job"))
    assert (answer.verb, answer.probe) == (word, word == "call")
    if word == "call":
        hold = json.loads(still.all()[KEYS.holds]["account/outage"])
        assert (hold["probe"], hold["retry_at"]) == ("t1", NOW + COVER_MS)
        assert claim(still_task("job")).probe
        assert claim(still_task("other"), "t2").verb == "parked"


@pytest.mark.parametrize(
    ("fields", "probes"),
    [
        ({"call": "sms/add_contact"}, True),
        ({"call": "sms/create_group"}, False),
        ({"call": "email/add_contact"}, False),
        ({"call": "sms/create_group", "any": True}, True),
        ({"bare": True, "about": "another", "call": "sms/create_group"}, True),
        ({"bare": True, "about": "another"}, True),
        ({"bare": True, "about": "its own"}, False),
        ({"bare": True, "about": "its own", "any": True}, True),
        # If jobs of other kinds are parked, it is their turn to probe.
        ({"bare": True, "about": "another", "others": True}, False),
        ({"bare": True, "about": "another", "others": True, "call": "sms/create_group"}, True),
    ],
)
def test_who_may_probe_a_refusal(
    still: StillClock, still_task: Make, claim: Ask, fields: dict[str, Any], *, probes: bool
) -> None:
    job = still_task("job")
    if fields.get("about") == "its own":
        fields = {**fields, "about": job.about}
    put_hold(still.redis, KEYS, "sms/refused", **fields)
    assert claim(job).verb == ("call" if probes else "parked")


@pytest.mark.parametrize(("length", "word"), [(10_000, "paced"), (10_001, "parked")])
def test_a_short_pause_that_the_api_asked_for_is_just_waited_for(
    still: StillClock, still_task: Make, claim: Ask, length: int, word: str
) -> None:
    put_hold(still.redis, KEYS, "account/asked", retry_at=NOW + 700, length=length)
    before = still.all()
    answer = claim(still_task("job"))
    assert (answer.verb, answer.wait) == (word, 700 if word == "paced" else 0)
    if word == "paced":
        assert answer.turn == ""
        assert still.all()[KEYS.holds] == before[KEYS.holds]


@pytest.mark.parametrize(("retry_at", "word"), [(NOW + 9000, "paced"), (NOW + 9001, "call"), (NOW, "call")])
def test_a_pause_with_more_left_than_it_lasts_is_not_waited_for(
    still: StillClock, still_task: Make, claim: Ask, retry_at: int, word: str
) -> None:
    put_hold(still.redis, KEYS, "account/asked", retry_at=retry_at, length=9000)
    answer = claim(still_task("job"))
    assert (answer.verb, answer.probe) == (word, False)


@pytest.mark.parametrize(("other", "since"), [(True, NOW - 60_000), (True, NOW + 60_000), (False, NOW)])
def test_a_job_whose_secret_is_refused_is_given_to_workers_that_have_another(
    still: StillClock, still_task: Make, claim: Ask, *, other: bool, since: int
) -> None:
    for name, secret in (("w1", "mine"), ("w2", "other" if other else "mine")):
        still.redis.hset(KEYS.workers, name, json.dumps({"secret": secret, "silence_ms": 1000}))
        still.redis.zadd(KEYS.heartbeats, {name: NOW})
    put_hold(still.redis, KEYS, "account/refused/mine", secret="mine", any=True, retry_at=NOW + 900)
    job = still_task("job", since=since)
    assert claim(job) == (
        Claim("benched", job.deadline, wait=900)
        if other
        else Claim("parked", job.deadline, hold="account/refused/mine")
    )
    # The clock of a producer may be ahead.
    assert still.all().get("delayed") == ({"job": min(since, NOW)} if other else None)


@pytest.mark.parametrize(
    ("until", "word", "wait"),
    [
        (NOW + 700, "deferred", 700),
        (NOW, "call", 0),
        (NOW + LIFE_MS, "deferred", 3_540_000),
        (NOW + LIFE_MS + 1, "call", 0),
    ],
)
def test_a_call_that_is_refused_while_others_pass_waits_alone(
    still: StillClock, still_task: Make, claim: Ask, until: int, word: str, wait: int
) -> None:
    """It does not wait beyond its deadline, nor until a time that was set by a clock that was ahead."""
    job = still_task("job")
    still.redis.hset(KEYS.alone, job.about, f"3 {until}")
    answer = claim(job)
    assert (answer.verb, answer.wait) == (word, wait)
    assert answer.reason == ("refused alone" if word == "deferred" else "")
