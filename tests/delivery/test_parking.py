"""How messages that meet a known hold are parked: together, in scripts of bounded length; each learns whether it was parked."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Sequence
from typing import Any

import pytest

from delivery import Gate, Ledger, Task
from delivery.parking import PARKED_AT_ONCE, Parking
from tests.harness.holds import put_hold
from tests.harness.records import DAY_MS, KEYS, LIFE_MS, Make
from tests.harness.still_clock import NOW, StillClock

HOLD = "sms/refused"


@pytest.fixture
def gate() -> Gate:
    return Gate(4)


@pytest.fixture
def scripts(still_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many messages each script was given."""
    sizes: list[int] = []
    park = still_ledger.park

    async def noted(hold: str, tasks: Sequence[Task]) -> bool:
        sizes.append(len(tasks))
        return await park(hold, tasks)

    monkeypatch.setattr(still_ledger, "park", noted)
    return sizes


def parked(still: StillClock, task: Task) -> Any:
    return still.all().get(f"{KEYS.parked}:{HOLD}|{task.place}")


async def test_what_comes_at_nearly_the_same_moment_is_parked_by_one_script_and_more_by_several(
    still: StillClock, still_ledger: Ledger, still_task: Make, gate: Gate, scripts: list[int]
) -> None:
    put_hold(still.redis, KEYS, HOLD, retry_at=NOW + 5000)
    tasks = [still_task(f"m{number}") for number in range(PARKED_AT_ONCE + 1)]
    parking = Parking(still_ledger, gate)
    assert await asyncio.gather(*(parking.park(HOLD, task) for task in tasks)) == [True] * len(tasks)
    # While a script runs, Redis serves nobody else.
    assert scripts == [256, 1]
    assert parked(still, tasks[0]) == {task.receipt.id: task.since for task in tasks}
    # A later message begins a new script.
    assert await parking.park(HOLD, still_task("later"))
    assert scripts == [256, 1, 1]


async def test_each_kind_of_call_is_parked_by_itself(
    still: StillClock, still_ledger: Ledger, still_task: Make, gate: Gate, scripts: list[int]
) -> None:
    put_hold(still.redis, KEYS, HOLD, retry_at=NOW + 5000)
    contact, listing = still_task("a"), still_task("b", "list_contacts")
    parking = Parking(still_ledger, gate)
    assert await asyncio.gather(parking.park(HOLD, contact), parking.park(HOLD, listing)) == [True, True]
    assert scripts == [1, 1]
    assert (parked(still, contact), parked(still, listing)) == ({"a": contact.since}, {"b": listing.since})


@pytest.mark.parametrize(
    ("actor", "lives", "kept"),
    [
        ("add_contact", DAY_MS, LIFE_MS),
        ("add_contact", LIFE_MS + DAY_MS, LIFE_MS + DAY_MS),
        # A call that changes nothing may be made again.
        ("list_contacts", DAY_MS, DAY_MS),
    ],
)
async def test_what_was_carried_out_is_not_forgotten_while_who_asks_for_it_again_is_parked(
    still: StillClock,
    still_ledger: Ledger,
    still_task: Make,
    gate: Gate,
    actor: str,
    lives: int,
    kept: int,
) -> None:
    put_hold(still.redis, KEYS, HOLD, retry_at=NOW + 5000)
    task, other = still_task("a", actor), still_task("b", actor)
    done = still_ledger.record(task)
    still.redis.hset(done, "s", "done")
    still.redis.pexpire(done, lives)
    parking = Parking(still_ledger, gate)
    assert await asyncio.gather(parking.park(HOLD, task), parking.park(HOLD, other)) == [True, True]
    assert still.lives(done, kept)
    assert still_ledger.record(other) not in still.all()


async def test_a_hold_that_is_over_is_not_believed_any_more(
    still: StillClock, still_ledger: Ledger, still_task: Make, gate: Gate
) -> None:
    task = still_task("a")
    gate.hold(HOLD, task.holds)
    assert await Parking(still_ledger, gate).park(HOLD, task) is False
    assert gate.holds_up(task.holds) is None
    assert "a" in still.all()["acks"]


async def test_while_a_hold_lasts_it_is_believed(
    still: StillClock, still_ledger: Ledger, still_task: Make, gate: Gate
) -> None:
    put_hold(still.redis, KEYS, HOLD, retry_at=NOW + 5000)
    task = still_task("a")
    gate.hold(HOLD, task.holds)
    assert await Parking(still_ledger, gate).park(HOLD, task) is True
    assert gate.holds_up(task.holds) == HOLD


@pytest.mark.parametrize(
    ("fault", "told"),
    [(ValueError("a fault of ours"), ValueError), (asyncio.CancelledError(), asyncio.CancelledError)],
)
async def test_what_goes_wrong_is_told_to_all_who_wait(
    still_ledger: Ledger, still_task: Make, gate: Gate, monkeypatch: pytest.MonkeyPatch, fault: BaseException,
    told: type[BaseException],
) -> None:  # fmt: skip
    """Otherwise the jobs whose script had not even begun would wait for ever."""

    async def park(*_: Any) -> bool:
        raise fault

    monkeypatch.setattr(still_ledger, "park", park)
    parking = Parking(still_ledger, gate)
    tasks = [still_task(f"m{number}") for number in range(PARKED_AT_ONCE + 1)]
    waiting = [asyncio.create_task(parking.park(HOLD, task)) for task in tasks]
    # One job is cancelled meanwhile.
    await asyncio.sleep(0)
    waiting[0].cancel()
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {type(answer) for answer in answers[1:]} == {told}


async def test_who_began_may_go_and_the_others_are_parked_all_the_same(
    still_ledger: Ledger, still_task: Make, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event loop has only weak references to its tasks: the task that parks could be collected while the others wait for it."""
    answers: list[weakref.ref[asyncio.Future[bool]]] = []

    async def park(*_: Any) -> bool:
        answer = asyncio.get_running_loop().create_future()
        answers.append(weakref.ref(answer))
        return bool(await answer)

    monkeypatch.setattr(still_ledger, "park", park)
    parking = Parking(still_ledger, gate)
    began = parking.park(HOLD, still_task("a"))
    began.send(None)
    other = asyncio.create_task(parking.park(HOLD, still_task("b")))
    async with asyncio.timeout(60):
        while not answers:  # noqa: ASYNC110 - it is begun by a timer of the loop
            await asyncio.sleep(0.001)
    # Close it instead of cancelling it: a traceback would keep its local variables alive.
    began.close()
    gc.collect()
    answer = answers[0]()
    assert answer is not None
    answer.set_result(True)
    assert await other is True
