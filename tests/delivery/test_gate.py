"""The gate of one process: which jobs it lets in, in what order, and that a job gives its place back however it leaves."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress

import pytest

from delivery.gate import Benched, Draining, Gate, Held
from delivery.retry import Pause
from delivery.shares import LANES
from tests.harness.crowd import DEADLINE, EMAIL, LONG, SMS, Crowd, assert_all_slots_are_free, turns, until


async def test_no_more_are_inside_than_may_be() -> None:
    crowd = Crowd(Gate(2))
    for name in "abcd":
        await crowd.add(name)
    assert crowd.inside == ["a", "b"]
    await crowd.let_go("a")
    assert crowd.inside == ["b", "c"]
    await crowd.end()
    await assert_all_slots_are_free(crowd.gate, 2)


async def test_it_is_told_since_when_all_places_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delivery.shares.time.monotonic", lambda: 55.5)
    crowd = Crowd(Gate(1))
    assert crowd.gate.shares.full_since is None
    await crowd.add("a", lane="bulk")
    assert crowd.gate.shares.full_since == 55.5
    assert crowd.gate.shares.in_flight() == {**dict.fromkeys(LANES, 0), "bulk": 1}
    await crowd.let_go("a")
    assert crowd.gate.shares.full_since is None
    await crowd.end()


async def test_the_more_urgent_lane_goes_first_and_within_it_the_first_who_came() -> None:
    crowd = Crowd(Gate(1))
    await crowd.add("first", lane="bulk")
    jobs = {"import 1": "bulk", "import 2": "bulk", "read": "reads", "webhook": "webhooks", "group": "groups"}
    for name, lane in jobs.items():
        await crowd.add(name, lane=lane)
    for name in ("first", "webhook", "group", "read", "import 1", "import 2"):
        assert crowd.inside == [name]
        await crowd.let_go(name)
    await crowd.end()


async def test_every_lane_with_work_has_its_share_of_the_turns() -> None:
    """However many webhooks come, each lane gets at least a tenth."""
    gate = Gate(1)
    crowd = Crowd(gate)
    await crowd.add("first")
    for number in range(60):
        for lane in LANES:
            await crowd.add(f"{lane} {number}", lane=lane)
    for _ in range(100):
        await crowd.let_go(crowd.inside[0])
    turns_of = Counter(name.split()[0] for name in crowd.order[1:])
    expected = {"webhooks": 40, "groups": 20, "contacts": 20, "reads": 10, "bulk": 10}
    assert all(abs(turns_of[lane] - count) <= 1 for lane, count in expected.items())
    await crowd.end()


async def test_a_lane_that_was_idle_saves_nothing_up() -> None:
    """Otherwise a lane that comes back would have all turns for as long as it was away."""
    crowd = Crowd(Gate(1))
    await crowd.add("first", lane="contacts")
    for number in range(50):
        await crowd.add(f"contact {number}", lane="contacts")
    for _ in range(30):
        await crowd.let_go(crowd.inside[0])
    for number in range(20):
        await crowd.add(f"bulk {number}", lane="bulk")
    for _ in range(9):
        await crowd.let_go(crowd.inside[0])
    assert sum(name.startswith("bulk") for name in crowd.order[31:]) == 3
    await crowd.end()


async def test_a_place_that_was_lent_goes_to_who_has_least() -> None:
    crowd = Crowd(Gate(10))
    for number in range(20):
        await crowd.add(f"bulk {number}", lane="bulk")
    assert len(crowd.inside) == 10
    # A lane without a place of its own comes before any other, whatever it had before.
    await crowd.add("group 1", lane="groups")
    await crowd.add("contact 1", lane="contacts")
    await crowd.let_go("bulk 0")
    await crowd.let_go("bulk 1")
    assert crowd.inside[-2:] == ["group 1", "contact 1"]
    await crowd.end()


async def test_a_lane_without_a_place_comes_first_though_it_has_just_had_one() -> None:
    """For its weight, the lane has had more than the one that has all other places, but each lane is sure of a tenth of the places."""
    crowd = Crowd(Gate(10))
    for number in range(9):
        await crowd.add(f"contact {number}")
    await crowd.add("bulk 1", lane="bulk")
    await crowd.add("contact 9")
    await crowd.add("bulk 2", lane="bulk")
    await crowd.let_go("bulk 1")
    assert crowd.inside[-1] == "bulk 2"
    await crowd.end()


async def test_listings_never_have_more_than_a_quarter_of_the_places() -> None:
    gate = Gate(12)
    crowd = Crowd(gate)
    for number in range(6):
        await crowd.add(f"read {number}", lane="reads")
    assert crowd.inside == ["read 0", "read 1"]
    # One is left for the listings of other lanes.
    with gate.one_listing() as is_room:
        assert is_room
        assert not gate.shares.may_list
        with gate.one_listing() as is_more_room:
            assert not is_more_room
    await crowd.add("contact")
    assert crowd.inside == ["read 0", "read 1", "contact"]
    await crowd.let_go("read 0")
    assert crowd.inside == ["read 1", "contact", "read 2"]
    for name in ("read 1", "read 2", "read 3", "read 4", "read 5"):
        await crowd.let_go(name)
    # A listing that reads back counts as well.
    with gate.one_listing() as is_room, gate.one_listing() as is_more_room:
        assert (is_room, is_more_room) == (True, True)
        await crowd.add("read 6", lane="reads")
        await crowd.add("read 7", lane="reads")
        assert crowd.inside == ["contact", "read 6"]
    await turns()
    assert crowd.inside == ["contact", "read 6", "read 7"]
    await crowd.end()


async def test_a_lane_that_has_no_room_claims_no_turn() -> None:
    """No job could take the turn, and all other lanes would wait for it."""
    crowd = Crowd(Gate(4))
    for number in range(3):
        await crowd.add(f"read {number}", lane="reads")
    assert crowd.inside == ["read 0"]
    assert crowd.gate.waiting_lanes == []
    await crowd.let_go("read 0")
    assert crowd.inside == ["read 1"]
    await crowd.end()


async def test_even_one_place_can_be_listed_from() -> None:
    crowd = Crowd(Gate(1))
    await crowd.add("read", lane="reads")
    assert crowd.inside == ["read"]
    await crowd.end()


async def test_who_comes_back_keeps_the_place_it_had() -> None:
    gate = Gate(1)
    number = gate.take_number()
    crowd = Crowd(gate)
    await crowd.add("inside")
    await crowd.add("later")
    back = asyncio.create_task(gate.enter("contacts", SMS, number, LONG))
    await turns()
    await crowd.let_go("inside")
    assert back.done()
    assert crowd.inside == []
    with gate.inside(await back):
        pass
    await turns()
    assert crowd.inside == ["later"]
    await crowd.end()


async def test_claims_under_way_are_bounded_apart_from_who_is_inside() -> None:
    gate = Gate(10, claims=2)
    entering = [asyncio.create_task(gate.enter("contacts", SMS, None, LONG)) for _ in range(4)]
    await turns()
    assert [task.done() for task in entering] == [True, True, False, False]
    entering[0].result().claimed()
    entering[0].result().claimed()
    await turns()
    assert [task.done() for task in entering] == [True, True, True, False]
    entering[1].result().claimed()
    await turns()
    for task in entering:
        with gate.inside(task.result()):
            pass
    await assert_all_slots_are_free(gate, 10)


async def test_a_hold_sends_away_those_whom_it_concerns_and_nobody_else() -> None:
    crowd = Crowd(Gate(1))
    await crowd.add("inside")
    await crowd.add("sms")
    await crowd.add("email", holds=EMAIL)
    crowd.gate.hold("sms/refused", SMS)
    await turns()
    with pytest.raises(Held) as held:
        await crowd.tasks["sms"]
    assert held.value.hold == "sms/refused"
    with pytest.raises(Held):
        await crowd.gate.enter("contacts", SMS, None, LONG)
    await crowd.let_go("inside")
    assert crowd.inside == ["email"]
    await crowd.end()
    await assert_all_slots_are_free(crowd.gate, 1)


async def test_jobs_of_another_kind_do_not_keep_the_probe_of_a_hold_away() -> None:
    """Under a busy load, a hold lasted for minutes after the account was good again: the few that might probe it were parked unasked."""
    crowd, others = Crowd(Gate(1)), SMS | {"sms/outage/create_group"}
    await crowd.add("inside")
    await crowd.add("other kind", holds=others)
    crowd.gate.hold("sms/refused", SMS)
    await crowd.let_go("inside")
    assert crowd.inside == ["other kind"]
    # A call that waits for its slot is not made, whichever job met the hold.
    assert crowd.gate.holds_up(others) == "sms/refused"
    await crowd.end()


async def test_a_hold_of_one_kind_of_call_keeps_nobody_from_asking() -> None:
    """Lost calls of that kind may still be looked up."""
    crowd = Crowd(Gate(1))
    await crowd.add("inside")
    kind = "sms/outage/add_contact"
    await crowd.add("waits", holds=SMS | {kind})
    crowd.gate.hold(kind, SMS | {kind})
    assert crowd.gate.holds_up(SMS | {kind}) is None
    await crowd.let_go("inside")
    assert crowd.inside == ["waits"]
    await crowd.end()


async def test_a_process_that_is_benched_sends_back_who_waits_and_claims_no_turn_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def it_is(moment: float) -> None:
        monkeypatch.setattr("delivery.gate.time.monotonic", lambda: moment)

    it_is(50.0)
    crowd = Crowd(Gate(1))
    await crowd.add("inside")
    await crowd.add("waiting")
    assert crowd.gate.waiting_lanes == ["contacts"]
    crowd.gate.bench(2.0)
    assert crowd.gate.waiting_lanes == []
    await turns()
    with pytest.raises(Benched):
        await crowd.tasks["waiting"]
    for moment, benched in ((50.0, True), (51.999, True), (52.0, False)):
        it_is(moment)
        assert crowd.gate.is_benched is benched
    it_is(51.0)
    with pytest.raises(Benched):
        await crowd.gate.enter("contacts", SMS, None, LONG)
    # A process is benched for a moment at least.
    crowd.gate.bench(0.0)
    assert crowd.gate._benched_until == 51.0 + Pause.benched_first
    it_is(60.0)
    await crowd.let_go("inside")
    await crowd.add("later")
    assert crowd.inside == ["later"]
    await crowd.end()


async def test_who_is_cancelled_when_a_hold_has_just_sent_it_away_gives_back_no_place() -> None:
    """The job had no place: if it gave one back, one job too many would be let in."""
    crowd = Crowd(Gate(2))
    for name in ("a", "b", "c"):
        await crowd.add(name)
    crowd.gate.hold("sms/refused", SMS)
    crowd.tasks["c"].cancel()
    await turns()
    crowd.gate.release()
    assert sum(crowd.gate.shares.in_flight().values()) == 2
    await crowd.add("d")
    assert crowd.inside == ["a", "b"]
    await crowd.end()
    await assert_all_slots_are_free(crowd.gate, 2)


async def test_a_lane_that_yields_waits_alone_and_the_one_whose_turn_it_is_comes_next() -> None:
    gate = Gate(10, claims=1)
    first = await gate.enter("contacts", SMS, None, LONG)
    crowd = Crowd(gate)
    for lane in ("contacts", "webhooks", "bulk"):
        await crowd.add(lane, lane=lane)
    gate.pace(LONG, "contacts", "bulk")
    with gate.inside(first):
        first.claimed()
        await turns()
    assert crowd.order == ["bulk", "webhooks"]
    await crowd.end()


async def test_who_is_overdue_does_not_wait_for_the_pace() -> None:
    crowd = Crowd(Gate(10))
    crowd.gate.pace(LONG, "contacts", "")
    await crowd.add("patient")
    await crowd.add("late already", patience=-1)
    await until(lambda: crowd.inside == ["late already"])
    await crowd.add("late soon", patience=0.05)
    await until(lambda: crowd.inside == ["late already", "late soon"])
    await crowd.end()


async def test_draining_sends_back_who_waits_and_lets_nobody_in() -> None:
    crowd = Crowd(Gate(1))
    for name in ("inside", "waiting"):
        await crowd.add(name)
    await crowd.add("overdue", patience=0)
    crowd.gate.drain()
    await turns()
    for name in ("waiting", "overdue"):
        with pytest.raises(Draining):
            await crowd.tasks[name]
    with pytest.raises(Draining):
        await crowd.gate.enter("contacts", SMS, None, LONG)
    assert crowd.inside == ["inside"]
    await crowd.let_go("inside")
    assert crowd.order == ["inside"]
    await crowd.end()


@pytest.mark.parametrize("at", ["waiting", "let in", "inside"])
async def test_cancelling_gives_the_slot_to_the_next(at: str) -> None:
    crowd = Crowd(Gate(1))
    await crowd.add("a")
    await crowd.add("b")
    await crowd.add("c")
    if at == "waiting":
        crowd.tasks["b"].cancel()
        await turns()
        await crowd.let_go("a")
    elif at == "let in":
        # After one turn of the loop, b's future is done, and b has not run yet.
        crowd.leave["a"].set()
        await asyncio.sleep(0)
        crowd.tasks["b"].cancel()
        await turns()
    else:
        await crowd.let_go("a")
        crowd.tasks["b"].cancel()
        await turns()
    assert crowd.inside == ["c"]
    await crowd.let_go("c")
    await assert_all_slots_are_free(crowd.gate, 1)
    await crowd.end()


@pytest.mark.parametrize("seed", range(30))
async def test_slots_never_leak_whatever_happens(seed: int) -> None:
    """Jobs come, go, fail and are cancelled while holds and pauses come and go; at the end every place is free."""
    chance = random.Random(seed)  # noqa: S311 - must repeat, not resist guessing
    concurrency = chance.randint(1, 5)
    gate = Gate(concurrency, claims=chance.choice([None, 1, 2]))
    inside = 0

    async def job() -> None:
        nonlocal inside
        holds, lane = chance.choice([SMS, EMAIL]), chance.choice(list(LANES))
        try:
            ticket = await gate.enter(lane, holds, None, chance.choice([0.0, 0.01, LONG]))
        except Held:
            return
        with suppress(LookupError), gate.inside(ticket):
            inside += 1
            try:
                assert inside <= concurrency
                await turns(chance.randint(0, 3))
                if chance.random() < 0.5:
                    ticket.claimed()
                await turns(chance.randint(0, 3))
                if chance.random() < 0.2:
                    raise LookupError
            finally:
                inside -= 1

    tasks: list[asyncio.Task[None]] = []
    for _ in range(150):
        match chance.randint(0, 9):
            case 0 | 1:
                if tasks:
                    chance.choice(tasks).cancel()
            case 2:
                gate.pace(
                    chance.choice([0.0, 0.002]), chance.choice(list(LANES)), chance.choice(["", "bulk"])
                )
            case 3:
                gate.hold(chance.choice(["account/refused", "sms/refused"]), SMS)
            case 4:
                gate.release()
            case _:
                tasks.append(asyncio.create_task(job()))
        await turns(chance.randint(0, 2))
    async with asyncio.timeout(DEADLINE):
        while not all(task.done() for task in tasks):
            gate.release()
            await asyncio.sleep(0.002)
    for task in tasks:
        if not task.cancelled():
            task.result()
    assert inside == 0
    await assert_all_slots_are_free(gate, concurrency)
