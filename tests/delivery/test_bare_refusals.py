"""Refusals without a code of the vendor's (a 403, a redirect) may concern the account or one call; other calls probe which it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from config.keys import Keys
from delivery import Ledger, Task
from delivery.account import it_works, listing_works
from delivery.settlement import NoSettlement, Signal
from tests.harness import House, wait_for
from tests.harness.holds import put_hold
from tests.harness.sync_ledger import finish
from tests.harness.unparking import unpark

KEYS = Keys()


def contacts(group_id: str, count: int, first: int = 0) -> list[dict[str, Any]]:
    """Return the arguments of ``count`` different add_contact jobs."""
    return [
        {"channel": "sms", "group_id": group_id, "phone": f"+3248{first + number:07d}"}
        for number in range(count)
    ]


def refuse(ledger: Ledger, task: Task, about: str = "") -> Any:
    """Let the API refuse the job's call, or the call ``about``, without a code; return the holds that began."""
    signal = Signal(
        word="refused",
        call=task.job.actor,
        about=about or task.about,
        channel=task.job.scope,
        text="302",
        bare=True,
    )
    return finish(ledger.settle(task, f"of {task.message_id}", NoSettlement(), signal)).changes.began


def pass_by(ledger: Ledger, task: Task) -> Any:
    """Let the API answer the job's call; return the holds that ended."""
    return finish(ledger.settle(task, "another", NoSettlement(), it_works(task))).changes.ended


@pytest.mark.parametrize("call", ["a contact", "a listing that reads back"])
def test_one_call_that_is_always_refused_stops_nobody(house: House, call: str) -> None:
    """Otherwise such a call, first in the queue, would win every probe, and none of the other contacts would be added."""
    refused, others = house.new_group(), house.new_group(name="Burger")
    if call == "a contact":
        house.sandbox.faults("redirect", endpoint="sms/addcontact", containing=refused)
    else:
        house.sandbox.faults("reset", endpoint="sms/addcontact", containing=refused, carry_out=True, count=1)
        house.sandbox.faults("redirect", endpoint="sms/userlist", containing=refused)
    house.worker()
    alone = house.enqueue("add_contact", contacts(refused, 1)[0])
    wait_for(lambda: house.tally()["account.held"] == 1, seconds=60, show=house.log_tail)
    began = time.monotonic()
    answers = house.wait_answered(house.enqueue_many("add_contact", contacts(others, 30, first=100)))
    sys.stdout.write(
        f"\n30 contacts behind {call} that is refused: {time.monotonic() - began:.1f} s; {house.tally()}\n"
    )
    assert {events[0]["type"] for events in answers.values()} == {"coupontools.contact.added"}
    assert not house.answers(alone)
    house.sandbox.clear_faults()
    assert house.answer(alone, seconds=60)["type"] == "coupontools.contact.added"
    assert house.counts()["surplus_contacts"] == 0


def test_a_call_that_was_carried_out_and_then_redirected_is_read_back(house: House) -> None:
    group_id = house.new_group()
    for endpoint in ("sms/addcontact", "sms/addgroup"):
        house.sandbox.faults("redirect", endpoint=endpoint, carry_out=True, count=1)
    house.worker()
    contact = house.enqueue("add_contact", contacts(group_id, 1)[0])
    group = house.enqueue("create_group", channel="sms", name="Burger")
    for events in house.wait_answered([contact, group]).values():
        (event,) = events
        assert event["type"] in {"coupontools.contact.added", "coupontools.group.created"}
        assert (event["data"]["reconciled"], event["data"]["attempts"]) == (True, 0)
    counts = house.counts()
    assert (counts["surplus_contacts"], counts["surplus_groups"]) == (0, 0)


def test_what_was_redirected_is_held_until_a_call_passes(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """Its look-up passes, but shows nothing about calls that change something. The next such call may probe at once."""
    redirected = task("redirected")
    put_hold(house.redis, KEYS, "account/refused", bare=True, lost=True, about=redirected.about)
    fields = {"s": "unknown", "fp": redirected.fingerprint, "en": 1, "rb": 1, "cl": 1}
    house.redis.hset(ledger.record(redirected), mapping=fields)
    claim = finish(ledger.claim(redirected, "t1"))
    assert (claim.verb, claim.probe) == ("read_back", True)
    settled = finish(ledger.settle(redirected, "t1", NoSettlement(), listing_works(redirected)))
    assert not settled.changes.ended
    assert finish(ledger.claim(task("another"), "t2")).probe


def test_who_would_read_the_listing_that_was_refused_does_not_probe(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    lost, other = task("lost"), task("other")
    fields = {"s": "unknown", "fp": lost.fingerprint, "en": 1, "rb": 1, "cl": 1}
    house.redis.hset(ledger.record(lost), mapping=fields)
    assert refuse(ledger, lost, about=lost.listing)
    put_hold(house.redis, KEYS, "account/refused", bare=True, about=lost.listing)
    assert finish(ledger.claim(lost, "t1")).verb == "parked"
    assert finish(ledger.claim(other, "t2")).probe
    assert pass_by(ledger, other)
    house.redis.sadd("acks", "lost")
    claim = finish(ledger.claim(lost, "t3"))
    assert (claim.verb, claim.reason) == ("deferred", "refused alone")


def test_a_flood_of_the_kind_that_was_refused_leaves_the_probe_to_others(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """Forged webhooks that a firewall refuses, each with an id of its own, would win each probe."""
    contact = task("contact")
    assert refuse(ledger, task("first", "verify_webhook", webhook_id="evt_1"))
    assert finish(ledger.claim(contact, "t1")).verb == "parked"
    hold = {"bare": True, "about": "another", "call": "account/verify_webhook"}
    put_hold(house.redis, KEYS, "account/refused", **hold)
    unpark(house.redis, KEYS)
    forged = task("second", "verify_webhook", webhook_id="evt_2")
    assert finish(ledger.claim(forged, "t2")).verb == "parked"
    assert house.redis.zrange("coupontools:delayed:contacts", 0, -1) == [b"contact"]
    house.redis.sadd("acks", "contact")
    assert finish(ledger.claim(contact, "t3")).probe


def test_probes_are_taken_from_all_over_those_who_wait(house: House) -> None:
    """Neighbours in the queue are often contacts of one group, and the API may refuse all calls for that group."""
    place = "account/refused|contacts|sms/add_contact"
    ranks = []
    for tried in range(8):
        house.redis.sadd(KEYS.parked, place)
        house.redis.zadd(f"{KEYS.parked}:{place}", {f"m{number:02d}": number for number in range(100)})
        put_hold(house.redis, KEYS, "account/refused", bare=True, about="x", tried=tried)
        unpark(house.redis, KEYS)
        [out] = house.redis.zrange("coupontools:delayed:contacts", 0, -1)
        ranks.append(int(out[1:]))
        house.redis.delete("coupontools:delayed:contacts")
    assert ranks[0] == 0
    quarters = {rank // 25 for rank in ranks}
    assert quarters == {0, 1, 2, 3}


def test_a_refused_call_that_is_the_only_one_left_probes_but_not_for_ever(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    refused = task("refused")
    assert refuse(ledger, refused)
    assert finish(ledger.claim(refused, "t1")).verb == "parked"
    put_hold(house.redis, KEYS, "account/refused", bare=True, about=refused.about)
    unpark(house.redis, KEYS)
    house.redis.sadd("acks", "refused")
    claim = finish(ledger.claim(refused, "of refused"))
    assert (claim.verb, claim.probe) == ("call", True)
    refuse(ledger, refused)
    # Another job may have come meanwhile, so this one may not take the next probe, too.
    assert '"any"' not in str(house.redis.hget(KEYS.holds, "account/refused"))


def test_a_kind_of_call_that_is_always_refused_holds_its_channel_and_not_the_account(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """Otherwise each of its calls would hold the whole account again, although other calls passed a moment ago."""
    email = task("email", "create_group", channel="email")
    assert refuse(ledger, task("first"))
    assert pass_by(ledger, email)
    for number in range(99):
        assert not refuse(ledger, task(f"job {number}"))
    [hold] = refuse(ledger, task("last"))
    assert (hold["scope"], hold["kind"]) == ("sms", "refused")
    assert finish(ledger.claim(email, "t1")).verb == "call"
    # A call that passes shows that not everything is refused: the next refused call waits alone again.
    pass_by(ledger, task("well", "list_contacts"))
    assert not house.redis.exists(KEYS.holds)
    assert not refuse(ledger, task("after"))
