"""Holds: parked jobs cost nothing, come back in order, and lose no time of their deadlines; the figures are printed (pytest -s)."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from config.keys import Keys
from coupontools import MayHaveHappened
from delivery import Ledger, Task
from delivery.account import it_works, trouble
from delivery.retry import Meaning
from delivery.settlement import Lost, NoSettlement, Signal, Waiting
from tests.harness import House, wait_for
from tests.harness.holds import put_hold, put_past_hold
from tests.harness.sync_ledger import LONG_POLICY, SyncRunner, finish, now_ms
from tests.harness.unparking import unpark

KEYS = Keys()
HOUR_MS = 3_600_000
LONG = "CHAOS_SCALE" in os.environ
#: How many jobs of a held channel are ahead of the others.
PARKED = 100_000 if LONG else 100
#: Their patience in seconds: shorter than the hold, and longer than it takes to call them all.
PATIENCE = 600 if LONG else 8


def contacts(channel: str, group_id: str, count: int, **more: Any) -> list[dict[str, Any]]:
    """Return the arguments of ``count`` different add_contact jobs."""
    who: Callable[[int], dict[str, str]] = (
        (lambda n: {"phone": f"+3248{n:07d}"})
        if channel == "sms"
        else (lambda n: {"email": f"a{n}@example.com"})
    )
    return [{"channel": channel, "group_id": group_id, **who(number), **more} for number in range(count)]


def calls(house: House) -> Counter[str]:
    return Counter(entry["endpoint"] for entry in house.sandbox.requests())


def parked(house: House) -> int:
    return sum(house.redis.zcard(key) for key in house.redis.scan_iter("coupontools:parked:*:*"))


def commands(house: House) -> int:
    """Return how many commands the workers have sent; commands within scripts are not counted."""
    stats: Any = house.redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval", "blmove"))


# -- With real workers ----------------------------------------------------------------------------------------------------------


def test_what_a_held_channel_parks_costs_nothing_and_stops_nobody(house: House) -> None:
    sms, email = house.new_group("sms"), house.new_group("email")
    for endpoint in ("sms/addcontact", "sms/userlist"):
        house.sandbox.faults("account_error", code=103, endpoint=endpoint)
    house.worker(WORKER_PROCESSES=2, WORKER_CONCURRENCY=16)
    held = house.enqueue_many("add_contact", contacts("sms", sms, PARKED, deadline_seconds=PATIENCE))
    wait_for(lambda: house.tally()["account.held"] == 1, show=house.log_tail)
    began = time.monotonic()
    free = house.enqueue_many("add_contact", contacts("email", email, 10))
    house.wait_answered(free, seconds=60)
    passed = time.monotonic() - began
    wait_for(lambda: parked(house) >= PARKED - 5, seconds=120, what="all are parked", show=house.log_tail)
    held_since = time.monotonic()
    longer = 0 if LONG else PATIENCE
    wait_for(lambda: time.monotonic() - held_since > longer, what="a hold longer than their patience")
    before, counted = commands(house), time.monotonic()
    wait_for(lambda: time.monotonic() - counted > 3, what="a while of the hold")
    a_second = (commands(house) - before) / (time.monotonic() - counted)
    assert house.tally()["contact.added"] == 10
    house.sandbox.clear_faults()
    ended = time.monotonic()
    wait_for(lambda: house.tally()["account.released"] == 1, seconds=60, show=house.log_tail)
    released = time.monotonic() - ended
    answers = house.wait_answered(held, seconds=300)
    sys.stdout.write(
        f"\n{PARKED:,} SMS jobs held, 10 email jobs behind them answered in {passed:.1f} s; then {a_second:.0f} Redis commands a second;"
        f" released after {released:.1f} s, the last answered {time.monotonic() - ended - released:.1f} s later\n"
    )
    assert {events[0]["type"] for events in answers.values()} == {"coupontools.contact.added"}
    assert all(events[0]["data"]["attempts"] == 1 for events in answers.values())
    assert house.counts()["surplus_contacts"] == 0


def test_what_was_parked_comes_back_in_the_order_in_which_it_was_enqueued(house: House) -> None:
    group_id = house.new_group()
    house.worker(WORKER_CONCURRENCY=4, COUPONTOOLS_RATE_LIMIT=50)
    assert house.run("pause", "--reason", "moving house").returncode == 0
    jobs = contacts("sms", group_id, 60)
    for job in jobs:
        house.enqueue("add_contact", job)
        # Messages of the same millisecond have no order.
        time.sleep(0.002)
    wait_for(lambda: parked(house) == 60, show=house.log_tail)
    assert calls(house).total() == 0
    assert house.run("resume").returncode == 0
    wait_for(lambda: calls(house)["sms/addcontact"] == 60, show=house.log_tail)
    called = [entry["body"]["phone"] for entry in house.sandbox.requests()]
    wanted = [job["phone"] for job in jobs]
    # Jobs that run at the same time may pass each other.
    assert max(abs(called.index(phone) - at) for at, phone in enumerate(wanted)) <= 8


def test_an_operator_s_pause_and_a_refusal_are_two_holds(house: House) -> None:
    group_id = house.new_group()
    worker = house.worker()
    assert house.run("pause", "--scope", "sms", "--reason", "moving house").stdout == "sms is paused\n"
    assert house.run("pause", "--scope", "sms").stdout == "sms was paused already\n"
    assert house.run("pause", "--scope", "fax").returncode == 2
    message_id = house.enqueue("add_contact", contacts("sms", group_id, 1, deadline_seconds=5)[0])
    wait_for(lambda: parked(house) == 1, show=house.log_tail)
    held = next(event["data"] for event in house.events() if event["type"] == "coupontools.account.held")
    assert (held["scope"], held["kind"], held["message"]) == ("sms", "paused", "moving house")
    assert held["retry_at"] is None
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > 6, what="a pause longer than the deadline")
    assert not house.answers(message_id)
    house.sandbox.faults("account_error", code=103, endpoint="sms/addcontact")
    assert house.run("resume", "--scope", "sms").stdout == "the pause of sms is over\n"
    wait_for(lambda: house.tally()["account.held"] == 2, show=house.log_tail)
    house.sandbox.clear_faults()
    assert house.answer(message_id)["type"] == "coupontools.contact.added"
    assert house.tally()["account.released"] == 2
    assert house.run("resume", "--scope", "sms").stdout == "sms was not paused\n"
    assert worker.terminate() == 0


def test_a_kind_of_call_that_fails_holds_no_other(house: House) -> None:
    """Only the verification answers 502."""
    group_id = house.new_group()
    body = house.sandbox.issue_webhook("coupon_claimed")
    house.sandbox.faults("bad_gateway", endpoint="webhook/verification")
    house.worker(RETRY_MIN_SECONDS=0.05, RETRY_MAX_SECONDS=0.2)
    held = house.enqueue_many("verify_webhook", [{"payload": body | {"n": str(n)}} for n in range(12)])
    wait_for(lambda: house.tally()["account.held"] == 1, show=house.log_tail)
    data = next(event["data"] for event in house.events() if event["type"] == "coupontools.account.held")
    assert data["kind"] == "outage"
    assert "verify_webhook" in data["message"]
    assert "502" in data["message"]
    house.wait_answered(house.enqueue_many("add_contact", contacts("sms", group_id, 20)))
    assert house.tally()["contact.added"] == 20
    house.sandbox.clear_faults()
    house.wait_answered(held)


def test_a_maintenance_page_with_a_status_of_success_is_an_outage(house: House) -> None:
    """Each job of an import made a call that was lost, and nothing told why all stood still."""
    group_id = house.new_group()
    house.sandbox.faults("html", endpoint=["sms/addcontact", "sms/userlist"])
    house.worker(WORKER_CONCURRENCY=8)
    jobs = house.enqueue_many("add_contact", contacts("sms", group_id, 100))
    wait_for(lambda: house.tally()["account.held"] == 1, show=house.log_tail)
    wait_for(lambda: parked(house) >= 80, what="the others are parked", show=house.log_tail)
    data = next(event["data"] for event in house.events() if event["type"] == "coupontools.account.held")
    assert (data["scope"], data["kind"], data["code"]) == ("sms", "outage", None)
    assert data["message"] == "add_contact: the answer is no JSON object (HTTP 200)"
    assert "the answer is no JSON object" in " ".join(house.run("status").stdout.split())
    assert calls(house)["sms/addcontact"] < 40
    house.sandbox.clear_faults()
    answers = house.wait_answered(jobs)
    assert {events[0]["type"] for events in answers.values()} == {"coupontools.contact.added"}
    # Those that were parked lost no attempt.
    assert sum(events[0]["data"]["attempts"] == 1 for events in answers.values()) > 60
    assert (house.counts()["contacts"], house.counts()["surplus_contacts"]) == (100, 0)
    wait_for(lambda: house.tally()["account.released"] == 1, show=house.log_tail)


def test_calls_that_are_carried_out_and_answered_with_a_page_go_on(house: House) -> None:
    group_id = house.new_group()
    house.sandbox.faults("html", endpoint="sms/addcontact", carry_out=True)
    house.worker(WORKER_CONCURRENCY=8)
    jobs = house.enqueue_many("add_contact", contacts("sms", group_id, 150))
    answers = house.wait_answered(jobs)
    assert all(events[0]["data"]["reconciled"] for events in answers.values())
    assert (house.tally()["account.held"], house.tally()["account.released"]) == (1, 1)
    assert (calls(house)["sms/addcontact"], house.counts()["contacts"]) == (150, 150)


def test_listings_that_are_cut_off_hold_no_other(house: House) -> None:
    bad, good = house.new_group(), house.new_group()
    house.sandbox.faults("cut_off", endpoint="sms/userlist", containing=bad)
    house.worker(RETRY_MIN_SECONDS=0.01, RETRY_MAX_SECONDS=0.05)
    for _ in range(4):
        house.enqueue("list_contacts", channel="sms", group_id=bad)
    wait_for(lambda: calls(house)["sms/userlist"] >= 40, what="many failures in a row", show=house.log_tail)
    assert house.answer(house.enqueue("list_contacts", channel="sms", group_id=good))
    assert house.tally()["account.held"] == 0


def test_an_outage_ends_with_its_last_job(house: House) -> None:
    """Otherwise no job would be left to find out that the outage is over."""
    house.worker(COUPONTOOLS_BASE_URL="http://127.0.0.1:9")
    jobs = contacts("sms", "gro_1", 20, deadline_seconds=2)
    house.wait_answered(house.enqueue_many("add_contact", jobs), seconds=60)
    wait_for(lambda: house.tally()["account.released"] >= 1, show=house.log_tail)
    assert not house.redis.exists(*house.redis.scan_iter("coupontools:holds:*"), "none")


def test_a_long_pause_that_the_api_asks_for_is_shown(house: House) -> None:
    group_id = house.new_group()
    house.sandbox.faults("rate_limited", count=1, retry_after=3599)
    house.worker()
    house.enqueue("add_contact", contacts("sms", group_id, 1)[0])
    wait_for(lambda: house.tally()["account.held"] == 1, show=house.log_tail)
    data = next(event["data"] for event in house.events() if event["type"] == "coupontools.account.held")
    assert (data["scope"], data["kind"]) == ("account", "asked")
    table = " ".join(house.run("status").stdout.split())
    assert "the API asks for a pause" in table


# -- With single scripts --------------------------------------------------------------------------------------------------------


def settle(ledger: Ledger, task: Task, token: str, signal: Signal) -> Any:
    return finish(ledger.settle(task, token, NoSettlement(), signal)).changes


def refusal(task: Task, code: str = "101", **more: Any) -> Signal:
    return Signal(
        word="refused", call=task.job.actor, about=task.about, channel=task.job.scope, code=code, **more
    )


def test_holds_are_credited_however_many_there_were(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """There was one long hold, and sixty short ones since."""
    enqueued = now_ms() - 30 * HOUR_MS
    put_past_hold(house.redis, KEYS, "sms", enqueued + HOUR_MS, enqueued + 25 * HOUR_MS)
    for number in range(60):
        began = enqueued + 26 * HOUR_MS + number * 60_000
        put_past_hold(house.redis, KEYS, "sms", began, began + 1000)
    claim = finish(ledger.claim(task("job", since=enqueued, patience=24 * 3600), "t1"))
    assert claim.verb == "call"
    assert claim.deadline == enqueued + 24 * HOUR_MS + 24 * HOUR_MS + 60_000


def test_overlapping_holds_are_credited_once(house: House, ledger: Ledger, task: Callable[..., Task]) -> None:
    job = task("job")
    began = now_ms() - HOUR_MS
    late = dataclasses.replace(job, since=began - HOUR_MS)
    settle(ledger, job, "t", refusal(job, "103", scope="sms"))
    settle(ledger, job, "t", refusal(job, "101"))
    for name, hold in (("sms/refused", began), ("account/refused", began)):
        put_hold(house.redis, KEYS, name, since=hold)
    house.redis.hset(KEYS.still, mapping={"sms": began, "account": began, "email": began})
    settle(ledger, job, "t", it_works(job))
    assert not house.redis.exists(KEYS.holds)
    claim = finish(ledger.claim(late, "t1"))
    assert claim.deadline - late.deadline == pytest.approx(HOUR_MS, abs=5000)


@pytest.mark.parametrize("op", [Waiting, Lost])
def test_the_deadline_in_force_bounds_a_delay(
    house: House, ledger: Ledger, task: Callable[..., Task], op: type[Waiting | Lost]
) -> None:
    """A job of one hour was enqueued two hours ago, and held for three: without that time, its backoff would be cut to nothing."""
    job = task("job", since=now_ms() - 2 * HOUR_MS, patience=3600)
    put_past_hold(house.redis, KEYS, "sms", job.since, job.since + 3 * HOUR_MS)
    claim = finish(ledger.claim(job, "t1"))
    assert claim.deadline == job.deadline + 3 * HOUR_MS
    finish(ledger.settle(job, "t1", op(delay=600_000), deadline=claim.deadline))
    assert float(house.redis.zscore("delayed", "job") or 0) - now_ms() == pytest.approx(600_000, abs=5000)


def test_only_the_kind_of_call_that_was_refused_ends_a_refusal(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """Otherwise each listing that works would end the hold, and each refused contact would begin it again."""
    contact, listing = task("contact"), task("listing", "list_contacts")
    settle(ledger, contact, "t1", refusal(contact))
    assert not settle(ledger, listing, "t2", it_works(listing)).ended
    assert house.redis.hexists(KEYS.holds, "account/refused")
    assert settle(ledger, contact, "t3", it_works(contact)).ended


def test_a_refusal_that_returns_at_once_does_not_begin_anew(
    ledger: Ledger, task: Callable[..., Task]
) -> None:
    job = task("job")
    intervals = []
    for number in range(8):
        [hold] = settle(ledger, job, f"t{number}", refusal(job)).began
        intervals.append(hold["interval"])
        settle(ledger, job, f"w{number}", it_works(job))
    assert intervals == [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]


@pytest.mark.parametrize(("minutes_ago", "interval"), [(1.9, 16_000), (2.1, 1000)])
def test_a_refusal_that_ended_two_minutes_ago_has_nothing_to_do_with_a_new_one(
    house: House, ledger: Ledger, task: Callable[..., Task], minutes_ago: float, interval: int
) -> None:
    job = task("job")
    ended = now_ms() - round(minutes_ago * 60_000)
    house.redis.hset(KEYS.troubles, "was:account/refused", f"{ended} 8000")
    [hold] = settle(ledger, job, "t1", refusal(job)).began
    assert hold["interval"] == interval


def test_another_call_probes_a_refusal_without_a_code_and_the_refused_one_waits_alone(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """Otherwise a firewall's 403 for one contact would stop the whole account, and that contact would win every probe."""
    refused, other = task("refused"), task("other")
    settle(ledger, refused, "t1", refusal(refused, "", bare=True))
    hold = {"bare": True, "about": refused.about}
    put_hold(house.redis, KEYS, "account/refused", **hold)
    assert finish(ledger.claim(refused, "t2")).verb == "parked"
    claim = finish(ledger.claim(other, "t3"))
    assert (claim.verb, claim.probe) == ("call", True)
    began = now_ms()
    assert settle(ledger, other, "t3", it_works(other)).ended
    # The refused job comes back and is refused again; no other job waits for it.
    house.redis.sadd("acks", "refused")
    for wait in (2000 * 2, 4000 * 2, 8000 * 2):
        claim = finish(ledger.claim(refused, "t4"))
        assert (claim.verb, claim.reason) == ("deferred", "refused alone")
        # The time since the refusal is taken off the wait, and on a busy machine much time may pass.
        assert wait - (now_ms() - began) - 1 <= claim.wait <= wait + 1
        house.redis.sadd("acks", "refused")
        began = now_ms()
        assert not settle(ledger, refused, "t4", refusal(refused, "", bare=True)).began
    settle(ledger, refused, "t5", it_works(refused))
    house.redis.delete(KEYS.pace)
    assert finish(ledger.claim(refused, "t6")).verb == "call"


def test_what_a_hold_lets_out_is_of_the_kind_that_was_refused(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    listing, contact = task("listing", "list_contacts"), task("contact")
    put_hold(house.redis, KEYS, "account/refused", retry_at=now_ms() + HOUR_MS // 100)
    for job in (listing, contact):
        assert finish(ledger.claim(job, "t1")).verb == "parked"
    assert unpark(house.redis, KEYS) == 0
    assert not house.redis.exists("coupontools:delayed:contacts", "coupontools:delayed:reads")
    put_hold(house.redis, KEYS, "account/refused")
    unpark(house.redis, KEYS)
    assert house.redis.zrange("coupontools:delayed:contacts", 0, -1) == [b"contact"]
    assert not house.redis.exists("coupontools:delayed:reads")
    # No job of that kind is left: after ten minutes any job may probe.
    house.redis.delete("coupontools:delayed:contacts")
    put_hold(house.redis, KEYS, "account/refused", since=now_ms() - 1000)
    unpark(house.redis, KEYS)
    assert not house.redis.exists("coupontools:delayed:reads")
    put_hold(house.redis, KEYS, "account/refused", since=now_ms() - 601_000)
    unpark(house.redis, KEYS)
    assert house.redis.zrange("coupontools:delayed:reads", 0, -1) == [b"listing"]
    house.redis.sadd("acks", "listing")
    claim = finish(ledger.claim(listing, "t2"))
    assert (claim.verb, claim.probe) == ("call", True)
    assert settle(ledger, listing, "t2", it_works(listing)).ended


def test_what_comes_back_comes_in_batches(house: House) -> None:
    place = "sms/refused|contacts|sms/add_contact"
    house.redis.sadd(KEYS.parked, place)
    house.redis.zadd(f"{KEYS.parked}:{place}", {f"m{number:04d}": number for number in range(1200)})
    moved = [unpark(house.redis, KEYS) for _ in range(4)]
    assert moved == [500, 500, 200, 0]
    assert house.redis.zrange("coupontools:delayed:contacts", 0, -1) == [
        f"m{number:04d}".encode() for number in range(1200)
    ]
    assert not house.redis.exists(KEYS.parked)


def test_a_clock_set_back_ends_no_pause_late(house: House, ledger: Ledger, task: Callable[..., Task]) -> None:
    """Redis's clock was a day ahead when the API asked for a pause of two seconds."""
    ahead = now_ms() + 24 * HOUR_MS
    put_hold(house.redis, KEYS, "account/asked", since=ahead, retry_at=ahead + 2000, length=2000)
    assert finish(ledger.claim(task("job"), "t1")).verb == "call"
    unpark(house.redis, KEYS)
    assert not house.redis.exists(KEYS.holds)


#: Writes this many ``unknown`` records, and lets them wait for the listing.
MANY_UNKNOWN = """
for number = 0, ARGV[1] - 1 do
    local name = 'coupontools:job:none:add_contact:' .. number
    redis.call('HSET', name, 's', 'unknown', 'en', 1, 'cl', 1, 'rb', 1 + number, 'nd', number)
    redis.call('ZADD', KEYS[1], 1 + number, name)
end
"""


def test_every_unknown_has_its_turn_however_many_there_are(house: House, ledger: Ledger) -> None:
    """Otherwise the calls after the first 20,000 would never be looked up."""
    listing, count = "add_contact:contacts:sms:gro_1", 21_000
    key = KEYS.unknown(listing)
    house.redis.eval(MANY_UNKNOWN, 1, key, count)
    _, first = finish(ledger.unknowns.of(listing))
    assert len(first) == 20_000
    # They stay undecided, and go to the end of the line.
    house.redis.zadd(key, {unknown.record: now_ms() + HOUR_MS for unknown in first})
    _, second = finish(ledger.unknowns.of(listing))
    due = set(house.redis.zrangebyscore(key, 0, now_ms()))
    assert sum(unknown.record.encode() in due for unknown in second) == count - 20_000


def test_a_deadline_before_the_look_has_one_look_all_the_same(
    house: House, task: Callable[..., Task]
) -> None:
    patient = Ledger(SyncRunner(house.redis), KEYS, dataclasses.replace(LONG_POLICY, read_back_after=60.0))
    job = task("job", patience=20.0)
    claim = finish(patient.claim(job, "t1"))
    finish(patient.settle(job, "t1", Lost(delay=60_000), deadline=claim.deadline))
    due = float(house.redis.zscore("delayed", "job") or 0)
    assert job.deadline - 5100 <= due <= job.deadline - 4900


def test_only_a_failing_connection_holds_the_account(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    contact, group = task("contact"), task("group", "create_group")
    failing = Meaning("lost", "outage")
    for number in range(10):
        settle(ledger, contact, f"t{number}", trouble(contact, failing, MayHaveHappened("bad", status=502)))
    assert house.redis.hkeys(KEYS.holds) == [b"sms/outage/add_contact"]
    assert finish(ledger.claim(contact, "c1")).verb == "parked"
    assert finish(ledger.claim(group, "c2")).verb == "call"
    # Lost calls of that kind are still looked up.
    lost = task("lost")
    house.redis.hset(
        ledger.record(lost), mapping={"s": "unknown", "fp": lost.fingerprint, "en": 1, "rb": 1, "cl": 1}
    )
    assert finish(ledger.claim(lost, "c3")).verb == "read_back"


def test_one_host_with_an_old_secret_does_not_stop_the_other(house: House) -> None:
    """A refusal of the credentials concerns only the workers that use the same secret."""
    group_id = house.new_group()
    old = house.worker(COUPONTOOLS_CLIENT_SECRET="an-old-secret", WORKER_PROCESSES=1)
    first = house.enqueue_many("add_contact", contacts("sms", group_id, 20))
    wait_for(lambda: house.tally()["account.held"] == 1, show=house.log_tail)
    # There is no other worker: its jobs are parked, and their deadlines stand still.
    wait_for(lambda: parked(house) == 20, what="all are parked", show=house.log_tail)
    house.worker(WORKER_PROCESSES=1)
    began = time.monotonic()
    more = [{**job, "phone": f"+3249{n:07d}"} for n, job in enumerate(contacts("sms", group_id, 200))]
    answers = house.wait_answered([*first, *house.enqueue_many("add_contact", more)], seconds=60)
    sys.stdout.write(f"\n220 jobs beside a host with an old secret: {time.monotonic() - began:.1f} s\n")
    assert {events[0]["type"] for events in answers.values()} == {"coupontools.contact.added"}
    assert all(events[0]["data"]["attempts"] == 1 for events in answers.values())
    told = " ".join(house.run("status").stdout.split())
    [child] = old.children()
    assert "account held since" in told
    assert f":{child})" in told
    assert house.tally()["account.released"] == 0
    # The hold concerns the old secret, and ends when no worker uses that any more.
    assert old.terminate() == 0
    wait_for(lambda: house.tally()["account.released"] == 1, show=house.log_tail)
