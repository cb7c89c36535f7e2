"""The API is asked once about a webhook id, for all bodies under it.

An answer that the API does not know the id serves only the bodies that waited when it was asked.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from config.keys import Keys
from delivery import Ledger, Task
from delivery.account import SILENT
from delivery.settlement import Done, Waiting
from tests.harness import House, wait_for
from tests.harness.sync_ledger import finish

KEYS = Keys()
WEBHOOK = "evt_" + "a" * 20


def told(text: str, *, lasts: bool) -> Done:
    return Done(events=[], told=text, lasts=lasts)


def body_of(task: Callable[..., Task], name: str) -> Task:
    """Return a job with one of several bodies under one id."""
    return task(name, "verify_webhook", payload={"id": WEBHOOK, "type": "coupon_claimed", "n": name})


def again(house: House, task: Task) -> None:
    """Let a worker fetch the job's message once more."""
    house.redis.sadd("acks", task.receipt.id)
    house.redis.delete(KEYS.pace)


def test_bodies_under_one_id_wait_for_one_answer(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    first, second, other = (body_of(task, name) for name in ("first", "second", "other"))
    assert finish(ledger.claim(first, "t1")).verb == "call"
    assert finish(ledger.claim(second, "t2")).reason == "busy"
    due = house.redis.zscore("delayed", "second")
    finish(ledger.settle(first, "t1", told('{"record": {"id": 1}}', lasts=True)))
    # The answer wakes the jobs that wait for it, and serves later ones.
    assert (house.redis.zscore("delayed", "second") or 0) <= (due or 0)
    for job, token in ((second, "t3"), (other, "t4")):
        again(house, job)
        claim = finish(ledger.claim(job, token))
        assert (claim.verb, claim.attempts, claim.evidence) == ("told", 0, b'{"record": {"id": 1}}')
    [key] = house.redis.scan_iter("coupontools:told:*")
    assert house.redis.pttl(key) > 0


def test_what_the_api_does_not_know_serves_only_who_waited_when_it_was_asked(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """A forged webhook that comes first must not make the genuine one a forgery."""
    forged, before, during, after = (body_of(task, name) for name in ("forged", "before", "during", "after"))
    assert finish(ledger.claim(forged, "t0")).verb == "call"
    assert finish(ledger.claim(before, "t1")).reason == "busy"
    # The first call has no result; the next is made while `before` waits.
    finish(ledger.settle(forged, "t0", Waiting(), SILENT))
    again(house, forged)
    assert finish(ledger.claim(forged, "t2")).verb == "call"
    assert finish(ledger.claim(during, "t3")).reason == "busy"
    finish(ledger.settle(forged, "t2", told('{"record": null}', lasts=False)))
    again(house, before)
    assert finish(ledger.claim(before, "t4")).verb == "told"
    again(house, during)
    assert finish(ledger.claim(during, "t5")).verb == "call"
    assert finish(ledger.claim(after, "t6")).reason == "busy"
    # The API has learnt of the webhook meanwhile.
    finish(ledger.settle(during, "t5", told('{"record": {"id": 1}}', lasts=True)))
    again(house, after)
    assert finish(ledger.claim(after, "t7")).evidence == b'{"record": {"id": 1}}'


def test_who_asks_and_dies_stops_the_others_only_for_a_lease(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    first, second = body_of(task, "first"), body_of(task, "second")
    finish(ledger.claim(first, "t1"))
    [key] = house.redis.scan_iter("coupontools:told:*")
    house.redis.hset(key, "until", 1)
    assert finish(ledger.claim(second, "t2")).verb == "call"


def test_a_flood_under_a_genuine_id_costs_one_call(house: House) -> None:
    body = house.sandbox.issue_webhook("coupon_claimed")
    house.worker(WORKER_PROCESSES=2, COUPONTOOLS_RATE_LIMIT=5)
    forged = house.enqueue_many(
        "verify_webhook", [{"payload": {**body, "session": f"forged {n}"}} for n in range(200)]
    )
    wait_for(house.sandbox.requests, what="the first call", show=house.log_tail)
    began = time.monotonic()
    genuine = house.answer(house.enqueue("verify_webhook", payload=body))
    answers = house.wait_answered(forged, seconds=60)
    calls = len(house.sandbox.requests())
    sys.stdout.write(
        f"\n200 forged bodies under a genuine id at 5 calls a second: {calls} calls, {time.monotonic() - began:.1f} s\n"
    )
    assert genuine["type"] == "coupontools.webhook.verified"
    kinds: set[Any] = {events[0]["data"].get("reason") for events in answers.values()}
    assert kinds == {"mismatch"}
    assert calls <= 3
