"""What renew.lua and reserve.lua give a worker: a lease, the reader lock, a slot of the pace."""

from __future__ import annotations

from collections.abc import Callable

from config.keys import Keys
from delivery import Ledger, Task
from tests.harness import House
from tests.harness.sync_ledger import LONG_POLICY, finish, now_ms

KEYS = Keys()
HOUR_MS = 3_600_000
COVER_MS = LONG_POLICY.cover * 1000


def test_the_lease_begins_anew_when_the_baseline_is_noted(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """Reading the baseline spends the lease: without a new one, another worker would take the call over while it is under way."""
    job = task("job", "create_group")
    finish(ledger.claim(job, "t1"))
    house.redis.hset(ledger.record(job), "le", 1)
    assert finish(ledger.renew(job, "t1", ["gro_0"])) == COVER_MS
    assert int(house.redis.hget(ledger.record(job), "le") or 0) - now_ms() > COVER_MS / 2


def test_the_right_to_list_lasts_as_long_as_the_listing(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    """Otherwise a second worker would read the listing that the first is still reading."""
    job = task("job")
    reader = KEYS.reader(job.listing)
    house.redis.set(reader, "t1", px=60_000)
    assert finish(ledger.renew(job, "t2")) == 0
    assert house.redis.pttl(reader) <= 60_000
    assert finish(ledger.renew(job, "t1")) == COVER_MS
    assert house.redis.pttl(reader) > COVER_MS / 2


def test_a_slot_that_is_not_reserved_is_asked_for_again(house: House, ledger: Ledger) -> None:
    """Otherwise a listing would be sent before its slot."""
    house.redis.hset(KEYS.pace, mapping={"tat": (now_ms() + 5000) * 1000})
    wait, reserved = finish(ledger.reserve("contacts"))
    assert not reserved
    assert 4000 < wait <= 5000
    house.redis.delete(KEYS.pace)
    assert finish(ledger.reserve("contacts")) == (0, True)
    assert house.redis.hexists(KEYS.pace, "tat")
