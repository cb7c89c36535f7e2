"""What the ledger knows about the ids in listings, and when a lost call began."""

from __future__ import annotations

from collections.abc import Callable

from delivery import Ledger, Task
from delivery.settlement import Done, Lost
from tests.harness import House
from tests.harness.sync_ledger import finish, now_ms


def test_a_doubtful_row_is_known_since_it_was_first_seen(house: House, ledger: Ledger) -> None:
    before = now_ms() - 1
    finish(ledger.unknowns.note_doubtful("contacts:sms:gro_1", ["con_1", "con_2"]))
    first = finish(ledger.unknowns.doubtful("contacts:sms:gro_1"))
    assert first.keys() == {"con_1", "con_2"}
    assert all(before <= since <= now_ms() + 1 for since in first.values())
    house.redis.hincrby("coupontools:doubtful:none:contacts:sms:gro_1", "con_2", -5000)
    finish(ledger.unknowns.note_doubtful("contacts:sms:gro_1", ["con_2", "con_3"]))
    second = finish(ledger.unknowns.doubtful("contacts:sms:gro_1"))
    assert second.keys() == {"con_2", "con_3"}
    assert second["con_2"] == first["con_2"] - 5000
    assert finish(ledger.unknowns.doubtful("contacts:sms:gro_2")) == {}
    assert 89 * 86400 < house.redis.ttl("coupontools:doubtful:none:contacts:sms:gro_1") <= 90 * 86400


def test_a_group_id_that_is_an_answer_is_claimed_whatever_its_name(
    ledger: Ledger, task: Callable[..., Task]
) -> None:
    pizza = task("pizza", "create_group")
    finish(ledger.claim(pizza, "t1"))
    finish(ledger.settle(pizza, "t1", Done(events=[], outcome="{}", claim="gro_1")))
    assert finish(ledger.unknowns.claimed("sms", {"gro_1", "gro_2"})) == {"gro_1"}
    assert finish(ledger.unknowns.claimed("email", {"gro_1"})) == set()


def test_an_unknown_call_began_when_it_was_claimed(
    house: House, ledger: Ledger, task: Callable[..., Task]
) -> None:
    lost = task("lost")
    before = now_ms() - 1
    finish(ledger.claim(lost, "t1"))
    finish(ledger.settle(lost, "t1", Lost()))
    _, [unknown] = finish(ledger.unknowns.of(lost.listing))
    assert before <= unknown.began <= unknown.ended
    # The clock was set back: nobody knows what came first.
    house.redis.hincrby(ledger.record(lost), "cl", 3_600_000)
    _, [unknown] = finish(ledger.unknowns.of(lost.listing))
    assert unknown.began == 0
