"""The gate of one process: who is let in, in what order, and that no way out keeps a slot."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from delivery.gate import Aside, Draining, Gate, Ticket

LONG = 3600.0
DEADLINE = 20.0


async def turns(count: int = 5) -> None:
    """Lets everything that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def assert_all_slots_are_free(gate: Gate, concurrency: int) -> None:
    """As many as may be inside at once get in, and not one more."""
    # An answer opens only what was held; so the gate is told of a hold first.
    gate.close("account", 0.001, held=True)
    gate.open()
    tickets: list[Ticket] = []
    for _ in range(concurrency):
        async with asyncio.timeout(DEADLINE):
            ticket = await gate.enter(0, "sms", None, LONG)
        ticket.claimed()
        tickets.append(ticket)
    more = asyncio.create_task(gate.enter(0, "sms", None, LONG))
    await turns()
    assert not more.done()
    more.cancel()
    await asyncio.gather(more, return_exceptions=True)
    for ticket in tickets:
        with gate.inside(ticket):
            pass


class Crowd:
    """Jobs that note when they are let in, and stay until they are told to go."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.inside: list[str] = []
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.leave: dict[str, asyncio.Event] = {}

    async def add(self, name: str, lane: int = 0, scope: str = "sms", patience: float = LONG) -> None:
        self.leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._job(name, lane, scope, patience))
        await turns()

    async def _job(self, name: str, lane: int, scope: str, patience: float) -> None:
        ticket = await self.gate.enter(lane, scope, None, patience)
        with self.gate.inside(ticket):
            ticket.claimed()
            self.order.append(name)
            self.inside.append(name)
            try:
                await self.leave[name].wait()
            finally:
                self.inside.remove(name)

    async def let_go(self, name: str) -> None:
        self.leave[name].set()
        await turns()

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - the condition may be anything, an Event may not
            await asyncio.sleep(0.005)


async def test_no_more_are_inside_than_may_be() -> None:
    crowd = Crowd(Gate(2))
    for name in "abcd":
        await crowd.add(name)
    assert crowd.inside == ["a", "b"]
    await crowd.let_go("a")
    assert crowd.inside == ["b", "c"]
    await crowd.end()
    await assert_all_slots_are_free(crowd.gate, 2)


async def test_the_lowest_lane_goes_first_and_within_it_the_first_who_came() -> None:
    crowd = Crowd(Gate(1))
    await crowd.add("first", lane=3)
    for name, lane in (("import 1", 3), ("import 2", 3), ("read", 1), ("webhook", 0), ("group", 2)):
        await crowd.add(name, lane=lane)
    for name in ("first", "webhook", "read", "group", "import 1", "import 2"):
        assert crowd.inside == [name]
        await crowd.let_go(name)
    await crowd.end()


async def test_who_comes_back_keeps_the_place_it_had() -> None:
    gate = Gate(1)
    number = gate.take_number()
    crowd = Crowd(gate)
    await crowd.add("inside")
    await crowd.add("later")
    back = asyncio.create_task(gate.enter(0, "sms", number, LONG))
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
    entering = [asyncio.create_task(gate.enter(0, "sms", None, LONG)) for _ in range(4)]
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


async def test_a_closed_scope_holds_its_own_and_a_closed_account_everybody() -> None:
    crowd = Crowd(Gate(10))
    crowd.gate.close("sms", LONG, held=False)
    await crowd.add("sms", scope="sms")
    await crowd.add("email", scope="email")
    await crowd.add("webhook", scope="account")
    assert crowd.inside == ["email", "webhook"]
    crowd.gate.close("account", LONG, held=False)
    await crowd.add("another", scope="email")
    assert crowd.inside == ["email", "webhook"]
    await crowd.end()


async def test_a_scope_opens_when_its_time_has_come() -> None:
    crowd = Crowd(Gate(10))
    crowd.gate.close("account", 0.05, held=False)
    await crowd.add("a")
    assert crowd.inside == []
    await until(lambda: crowd.inside == ["a"])
    await crowd.end()


async def test_a_later_shorter_closing_opens_nothing() -> None:
    crowd = Crowd(Gate(10))
    crowd.gate.close("sms", LONG, held=False)
    crowd.gate.close("sms", 0.001, held=False)
    await crowd.add("a")
    await asyncio.sleep(0.05)
    assert crowd.inside == []
    await crowd.end()


async def test_a_hold_is_believed_for_a_moment_and_then_one_asks_at_a_time() -> None:
    gate = Gate(40)
    gate.close("sms", LONG, held=True)
    assert gate.wary
    entering = [asyncio.create_task(gate.enter(0, "sms", None, LONG)) for _ in range(3)]
    await turns()
    assert not any(task.done() for task in entering)
    await until(lambda: any(task.done() for task in entering))
    assert [task.done() for task in entering] == [True, False, False]
    entering[0].result().claimed()
    await turns()
    assert [task.done() for task in entering] == [True, True, False]
    gate.open()
    assert not gate.wary
    await turns()
    for task in entering:
        with gate.inside(task.result()):
            pass
    await assert_all_slots_are_free(gate, 40)


async def test_who_is_overdue_does_not_wait_for_a_closed_scope() -> None:
    crowd = Crowd(Gate(10))
    crowd.gate.close("account", LONG, held=False)
    await crowd.add("patient")
    await crowd.add("late already", patience=-1)
    await until(lambda: crowd.inside == ["late already"])
    await crowd.add("late soon", patience=0.05)
    await until(lambda: crowd.inside == ["late already", "late soon"])
    await crowd.end()
    await assert_all_slots_are_free(crowd.gate, 10)


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
        await crowd.gate.enter(0, "sms", None, LONG)
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
        # In one turn of the loop: b's future is done, and b has not run yet.
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
    """Jobs come, go, fail and are cancelled while scopes close and open; at the end every slot is free."""
    chance = random.Random(seed)  # noqa: S311 - must repeat, not resist guessing
    concurrency = chance.randint(1, 5)
    gate = Gate(concurrency, claims=chance.choice([None, 1, 2]))
    inside = 0

    async def job() -> None:
        nonlocal inside
        scope = chance.choice(["account", "sms", "email"])
        try:
            ticket = await gate.enter(chance.randint(0, 3), scope, None, chance.choice([0.0, 0.01, LONG]))
        except Aside:
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
                scope = chance.choice(["account", "sms", "email"])
                gate.close(
                    scope,
                    chance.choice([0.0, 0.002]),
                    held=chance.random() < 0.1,
                    alone=chance.random() < 0.5,
                )
            case 3:
                gate.open()
            case _:
                tasks.append(asyncio.create_task(job()))
        await turns(chance.randint(0, 2))
    async with asyncio.timeout(DEADLINE):
        while not all(task.done() for task in tasks):
            gate.open()
            await asyncio.sleep(0.002)
    for task in tasks:
        if not task.cancelled():
            task.result()
    assert inside == 0
    await assert_all_slots_are_free(gate, concurrency)


async def test_jobs_of_a_held_channel_make_room_for_those_of_the_other() -> None:
    gate = Gate(8)
    gate.close("sms", LONG, held=True, alone=True)
    far = [asyncio.create_task(gate.enter(3, "sms", None, LONG)) for _ in range(20)]
    near = asyncio.create_task(gate.enter(3, "sms", None, 1.0))
    other = asyncio.create_task(gate.enter(3, "email", None, LONG))
    await turns()
    ticket = other.result()
    # Told once more that it is held: a few stay, and whoever has not much time; the others go, and not for long.
    gate.close("sms", LONG, held=True, alone=True)
    await turns()
    assert [task.done() for task in far] == [False] * 2 + [True] * 18
    assert not near.done()
    for task in far[2:]:
        with pytest.raises(Aside) as aside:
            task.result()
        assert 0.8 * 5 <= aside.value.seconds <= 1.2 * 5
    # A hold of the account sends nobody away: there is nobody to make room for.
    with gate.inside(ticket):
        pass
    gate.close("account", LONG, held=True)
    gate.close("sms", LONG, held=True)
    await turns()
    assert not any(task.done() for task in (*far[:2], near))
    gate.drain()
    await asyncio.gather(*far, near, return_exceptions=True)


async def test_the_longer_a_channel_is_held_the_longer_its_jobs_stay_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, clock = Gate(4, claims=1), asyncio.get_running_loop().time()
    # Somebody claims all the time, so that nobody else is let in.
    await gate.enter(0, "email", None, LONG)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: clock)
    told = []
    for seconds in (0, 60, 60, 7200, 60, 60, 60):
        clock += seconds
        jobs = [asyncio.create_task(gate.enter(3, "sms", None, 10 * LONG)) for _ in range(2)]
        await turns()
        gate.close("sms", 1, held=True, alone=True)
        await turns()
        ended = [task for task in jobs if task.done() and isinstance(task.exception(), Aside)]
        told.append(ended[-1].exception().seconds)  # type: ignore[union-attr]
    # The pause of two hours was the end of the first hold.
    for seconds, expected in zip(told, (5, 60, 120, 5, 60, 120, 180), strict=True):
        assert 0.8 * expected <= seconds <= 1.2 * expected
    gate.drain()
    await turns()
