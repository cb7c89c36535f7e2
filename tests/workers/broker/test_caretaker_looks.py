"""What one look of the caretaker does and logs, and how long it rests, with a clock that the test moves."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from config.keys import Keys
from tests.harness.still_clock import NOW, StillClock
from workers.broker import DurableBroker
from workers.broker import caretaker as its_module
from workers.broker.caretaker import Caretaker
from workers.broker.entries import LATEST

KEYS = Keys()
READS = KEYS.queue("reads")
#: A worker is dead after this many seconds of silence. It sends heartbeats four times as often.
SILENCE = 100.0
BEAT = SILENCE / 4


class Clock:
    """Stands in for the module ``time``."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1234.5


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(its_module, "time", clock)
    return clock


@pytest.fixture
def broker(still: StillClock, make_broker: Callable[[str], DurableBroker]) -> DurableBroker:
    port = still.redis.connection_pool.connection_kwargs["port"]
    return make_broker(f"redis://127.0.0.1:{port}/0")


@pytest.fixture
def caretaker(broker: DurableBroker, clock: Clock) -> Iterator[Caretaker]:
    caretaker = Caretaker(broker, heartbeat_seconds=SILENCE, queues=["reads"])
    yield caretaker
    caretaker._client.close()


class Tended:
    """Answers in place of tend.lua, and notes what it was given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: How long the answer takes in seconds, and Redis's clock (ms) less this machine's.
        self.takes, self.ahead = 0.0, 5_000_000.0
        self.answer: dict[str, Any] = {}
        self.told: list[tuple[bool, bool]] = []

    def __call__(self, now: float, about: bytes, *, steady: bool) -> Any:
        self.told.append((bool(about), steady))
        self._clock.now += self.takes
        given = {
            "next_due": -1, "moved": 0, "dead": [], "clock_ms": round(self._clock.now * 1000 + self.ahead),
            "problem": b"", "on_hold": 0, "messages": 0, "kept_ms": 0, "astray": [], **self.answer,
        }  # fmt: skip
        return list(given.values())


@pytest.fixture
def tended(caretaker: Caretaker, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Tended:
    tended = Tended(clock)
    monkeypatch.setattr(caretaker, "_tend", tended)
    caretaker._tick()
    tended.told.clear()
    return tended


def about(still: StillClock, broker: DurableBroker) -> Any:
    return json.loads(still.all()[KEYS.workers][broker.broker_id])


def test_at_a_heartbeat_a_worker_tells_who_it_is(
    still: StillClock, broker: DurableBroker, caretaker: Caretaker
) -> None:
    beats: list[bool] = []
    broker.on_beat = lambda: beats.append(True)
    assert caretaker._tick() == its_module.TICK_SECONDS
    told = about(still, broker)
    assert (told["queues"], told["started_at"], told["silence_ms"]) == (["reads"], 1_234_500, 100_000)
    assert {"host", "pid", "reads", "account", "secret", "rate", "in_flight"} <= told.keys()
    assert "without" not in told
    assert beats == [True]
    assert broker.about == still.redis.hget(KEYS.workers, broker.broker_id)
    assert broker.broker_id in still.all()[KEYS.heartbeats]


def test_a_heartbeat_is_due_four_times_in_a_deadly_silence(
    broker: DurableBroker, caretaker: Caretaker, clock: Clock
) -> None:
    beats: list[float] = []
    broker.on_beat = lambda: beats.append(clock.now)
    for at in (0.0, BEAT - 0.01, BEAT, 2 * BEAT - 0.01, 2 * BEAT + 5):
        clock.now = 1000.0 + at
        caretaker._tick()
    assert beats == [1000.0, 1000.0 + BEAT, 1005.0 + 2 * BEAT]


def test_why_redis_does_not_serve_it_is_told_within_bounds(
    still: StillClock, broker: DurableBroker, caretaker: Caretaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(broker.link), "without", property(lambda _: "x" * 500))
    caretaker._tick()
    assert about(still, broker)["without"] == "x" * 200


def test_what_a_worker_says_of_itself_is_written_between_heartbeats_if_it_changed(
    still: StillClock,
    broker: DurableBroker,
    caretaker: Caretaker,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caretaker._tick()
    for jobs, after, written in ((1, 0.1, 0), (1, 0.25, 1), (1, 0.3, 1), (2, 0.45, 1), (2, 0.5, 2)):
        monkeypatch.setattr(broker.gate.shares, "in_flight", lambda jobs=jobs: {"reads": jobs})
        clock.now = 1000.0 + after
        caretaker._tick()
        assert about(still, broker)["in_flight"].get("reads", 0) == written


def test_while_another_worker_keeps_the_queues_this_one_asks_for_nothing(
    still: StillClock, caretaker: Caretaker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With Redis's own clock, the keeper's time could be over before the look.
    monkeypatch.setattr(caretaker._runner, "run", still.run_now)
    still.redis.hset(KEYS.sweep, mapping={"keeper": "w2", "kept_until": NOW + 1900})
    assert caretaker._tick() == its_module.TICK_SECONDS
    assert caretaker._kept_until == pytest.approx(clock.now + 1.9)
    asked: list[bool] = []
    monkeypatch.setattr(caretaker, "_tend", lambda *_, **__: asked.append(True))
    clock.now = caretaker._kept_until - 0.001
    caretaker._tick()
    assert asked == []


@pytest.mark.parametrize(
    ("since_beat", "due_ms", "longest", "rest"),
    [
        (0.0, -1, 0.25, 0.25),
        (0.0, -1, 99.0, BEAT),
        (BEAT - 0.1, -1, 0.25, pytest.approx(0.1)),
        (BEAT + 5, -1, 0.25, 0.01),
        (0.0, 100, 0.25, 0.1),
        (0.0, 0, 0.25, 0.001),
        (0.0, 400, 0.25, 0.25),
    ],
)
def test_it_rests_until_the_next_beat_or_until_something_falls_due(
    caretaker: Caretaker, clock: Clock, since_beat: float, due_ms: int, longest: float, rest: Any
) -> None:
    caretaker._beat_at = clock.now - since_beat
    assert caretaker._rest(clock.now, due_ms, longest=longest) == rest


def test_when_a_full_batch_moved_it_looks_again_at_once(
    still: StillClock, caretaker: Caretaker, broker: DurableBroker
) -> None:
    ids = [f"m{number}" for number in range(201)]
    still.redis.hset(READS.bodies, mapping=dict.fromkeys(ids, "{}"))
    still.redis.zadd(READS.delayed, dict.fromkeys(ids, 1))
    broker.draining.set()
    assert caretaker._tick() == 0.0
    assert still.redis.llen(READS.ready) == 200
    assert caretaker._tick() > 0
    assert still.redis.llen(READS.ready) == 201


def test_what_a_hold_that_is_over_parked_counts_as_moved(
    still: StillClock, broker: DurableBroker, caretaker: Caretaker
) -> None:
    parked = broker.keys.parked
    place = "sms/paused|reads|sms/list_groups"
    still.redis.sadd(parked, place)
    still.redis.zadd(f"{parked}:{place}", {f"m{number}": 1 for number in range(250)})
    assert caretaker._tick() == 0.0
    assert still.redis.zcard(READS.delayed) == 250


def test_holds_that_ended_while_nobody_called_are_told(
    caretaker: Caretaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy: list[int] = []

    def run(_: Any, __: Any, args: Any) -> Any:
        busy.append(args[2])
        return b"3", b'{"ended":[{"scope":"sms","kind":"asked"}]}'

    monkeypatch.setattr(caretaker._runner, "run", run)
    with capture_logs() as lines:
        assert [caretaker._unpark(busy=True), caretaker._unpark(busy=False)] == [3, 3]
    assert [(line["event"], line["kind"]) for line in lines] == [("account.released", "asked")] * 2
    assert busy == [1, 0]


def test_a_queue_is_searched_when_messages_stood_nowhere_at_two_beats_in_a_row(
    still: StillClock, caretaker: Caretaker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[list[str]] = []
    monkeypatch.setattr(caretaker._strays, "begin", begun.append)
    still.redis.hset(READS.bodies, "a", "{}")
    caretaker._tick()
    clock.now += 1.0
    caretaker._tick()
    assert begun == [], "between heartbeats nobody looks"
    clock.now += BEAT
    still.redis.rpush(READS.ready, "a")
    caretaker._tick()
    assert begun == []
    still.redis.delete(READS.ready)
    for beats in (1, 2, 3):
        clock.now += BEAT
        caretaker._tick()
        assert begun == [["reads"]] * (beats - 1)


def test_whom_it_took_over_is_told(caretaker: Caretaker) -> None:
    with capture_logs() as lines:
        caretaker._tell([(b"w\xff", 3, [b"m-1", b"\xfe"])], b"")
    assert lines == [
        {
            "event": "worker.taken_over",
            "log_level": "warning",
            "from_worker": "w\\xff",
            "messages": 3,
            "message_ids": ["m-1", "\\xfe"],
        }
    ]


def test_what_a_look_found_is_told(caretaker: Caretaker, clock: Clock, tended: Tended) -> None:
    tended.answer = {"dead": [(b"w2", 1, [b"m-1"])], "problem": b"WRONGTYPE one"}
    clock.now += 1.0
    with capture_logs() as lines:
        caretaker._tick()
    assert [line["event"] for line in lines] == ["worker.taken_over", "caretaker.fault"]


def test_a_fault_that_stays_is_told_every_now_and_then(caretaker: Caretaker, clock: Clock) -> None:
    with capture_logs() as lines:
        for after, problem, told in (
            (0, b"WRONGTYPE one", 1),
            (59.9, b"WRONGTYPE one", 1),
            (60, b"WRONGTYPE one", 2),
            (61, b"WRONGTYPE other", 3),
            (62, b"", 3),
        ):
            clock.now = 1000.0 + after
            caretaker._tell([], problem)
            assert len(lines) == told
    assert {line["event"] for line in lines} == {"caretaker.fault"}


def test_what_only_an_outage_says_of_a_queue_is_an_outage(caretaker: Caretaker) -> None:
    with pytest.raises(ResponseError, match="OOM"):
        caretaker._tell([], b"OOM command not allowed when used memory > 'maxmemory'.")


def test_a_process_that_was_frozen_calls_nobody_dead_before_all_could_be_heard(
    caretaker: Caretaker, clock: Clock
) -> None:
    caretaker._tick()
    began = caretaker._steady_since
    clock.now += SILENCE / 2
    caretaker._tick()
    assert caretaker._steady_since == began
    clock.now += SILENCE / 2 + 0.1
    caretaker._tick()
    assert caretaker._steady_since == clock.now


def test_deadlines_of_what_waits_are_looked_at_by_one_worker_several_times_a_second(
    still: StillClock, broker: DurableBroker, caretaker: Caretaker, clock: Clock
) -> None:
    caretaker._tick()
    assert "owner" not in still.all()[KEYS.sweep], "where nothing waits nobody looks"
    old = {"message_id": "m", "message_timestamp": 5, "options": {}, "kwargs": {}}
    still.redis.hset(READS.bodies, "old", json.dumps(old))
    still.redis.rpush(READS.ready, "old")
    clock.now += 1.0
    caretaker._tick()
    assert still.all()[KEYS.sweep]["owner"] == broker.broker_id
    assert still.all()[READS.delayed] == {"old": 1}
    assert caretaker._look_at == pytest.approx(clock.now + 0.125)
    still.redis.delete(KEYS.sweep)
    clock.now += 0.12
    caretaker._tick()
    assert "owner" not in still.all()[KEYS.sweep]
    clock.now += 0.01
    caretaker._tick()
    assert still.all()[KEYS.sweep]["owner"] == broker.broker_id


def test_a_worker_that_stops_leaves_no_trace_unless_something_is_still_in_hand(
    still: StillClock, broker: DurableBroker, caretaker: Caretaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caretaker, "join", lambda: None)
    caretaker._tick()
    still.redis.sadd(KEYS.acks(broker.broker_id, "reads"), "a")
    broker.draining.set()
    caretaker.stop()
    assert broker.broker_id in still.all()[KEYS.workers]
    still.redis.delete(KEYS.acks(broker.broker_id, "reads"))
    broker.deserted.set()
    caretaker.stop()
    assert broker.broker_id in still.all()[KEYS.workers], "where Redis went away, nobody asks it again"
    broker.deserted.clear()
    caretaker.stop()
    assert not {KEYS.workers, KEYS.heartbeats} & still.all().keys()


def test_what_it_sends_says_when_by_redis_s_clock(
    still: StillClock, caretaker: Caretaker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that was frozen runs late what was sent to it, and would otherwise find every worker silent."""
    caretaker._tick()
    clock.now += 30.0
    sent: list[int] = []
    run = caretaker._runner.run
    monkeypatch.setattr(caretaker._runner, "run", lambda *given: sent.append(given[2][5]) or run(*given))
    seconds, _ = still.redis.time()
    caretaker._tick()
    assert sent[0] == pytest.approx(seconds * 1000 + 30_000, abs=120_000)


def test_nobody_is_called_dead_before_all_had_half_a_silence_to_be_heard(
    caretaker: Caretaker, clock: Clock, tended: Tended
) -> None:
    # The time begins with the first answer, since only that shows Redis's clock.
    began = caretaker._steady_since
    for after, steady in ((10.0, False), (40.0, False), (SILENCE / 2 - 0.001, False), (SILENCE / 2, True)):
        clock.now = began + after
        caretaker._tick()
        assert tended.told[-1][1] is steady


@pytest.mark.parametrize(
    ("takes", "jump_ms", "steady"),
    [
        (BEAT, 0, True),
        (BEAT + 0.001, 0, False),
        # After a clock was set, ahead or back, nobody knows which workers were silent.
        (0.0, SILENCE * 500, True),
        (0.0, SILENCE * 500 + 1, False),
        (0.0, -SILENCE * 500, True),
        (0.0, -SILENCE * 500 - 1, False),
    ],
)
def test_after_a_slow_answer_and_a_clock_that_was_set_all_have_that_time_anew(
    caretaker: Caretaker, clock: Clock, tended: Tended, takes: float, jump_ms: float, *, steady: bool
) -> None:
    caretaker._steady_since = 0.0
    clock.now += 1.0
    tended.takes = takes
    tended.ahead += jump_ms
    caretaker._tick()
    assert caretaker._steady_since == (0.0 if steady else clock.now)
    # The caretaker knows the new clock from then on.
    assert caretaker._clock_ms == pytest.approx(tended.ahead, abs=1)


@pytest.mark.parametrize(
    ("answer", "draining", "asks"),
    [({"kept_ms": 1900}, False, False), ({"kept_ms": 1900}, True, True), ({"kept_ms": 0}, False, True)],
)
def test_a_keeper_is_relied_on_until_its_time_is_over_or_this_worker_stops(
    caretaker: Caretaker, broker: DurableBroker, clock: Clock, tended: Tended, answer: dict[str, Any],
    *, draining: bool, asks: bool,
) -> None:  # fmt: skip
    tended.answer, tended.takes = answer, 0.5
    caretaker._tick()
    tended.told.clear()
    tended.takes = 0.0
    if draining:
        broker.draining.set()
    clock.now += 1.899
    caretaker._tick()
    assert bool(tended.told) is asks
    clock.now += 0.001
    tended.told.clear()
    caretaker._tick()
    assert tended.told == [(False, False)]


def test_while_another_keeps_the_queues_it_goes_on_to_say_what_changed(
    still: StillClock, caretaker: Caretaker, broker: DurableBroker, clock: Clock, tended: Tended
) -> None:
    tended.answer = {"kept_ms": 1_000_000}
    caretaker._tick()
    tended.told.clear()
    broker.gate.shares.in_flight = lambda: {"reads": 3}
    for after, rest, written in ((0.1, 0.25, False), (0.25, 0.25, True), (BEAT - 0.1, 0.1, True)):
        clock.now = 1000.0 + after
        assert caretaker._tick() == pytest.approx(rest)
        assert (KEYS.workers in still.all()) is written
    assert about(still, broker)["in_flight"] == {"reads": 3}
    assert tended.told == []


def test_a_process_that_stood_still_gives_all_that_time_anew(
    caretaker: Caretaker, clock: Clock, tended: Tended
) -> None:
    caretaker._steady_since = 0.0
    clock.now += SILENCE / 2
    caretaker._tick()
    assert caretaker._steady_since == 0.0
    clock.now += SILENCE / 2 + 0.001
    caretaker._tick()
    assert caretaker._steady_since == clock.now


def test_a_heartbeat_is_sent_though_another_keeps_the_queues(
    caretaker: Caretaker, clock: Clock, tended: Tended
) -> None:
    tended.answer = {"kept_ms": 1_000_000}
    caretaker._tick()
    tended.told.clear()
    clock.now += BEAT
    caretaker._tick()
    assert tended.told == [(True, False)]


@pytest.mark.parametrize(
    ("answer", "search", "unparked", "rest", "busy"),
    [
        ({}, None, 0, 0.25, None),
        ({"next_due": 100}, None, 0, 0.1, None),
        ({"moved": 199}, None, 0, 0.25, None),
        ({"moved": 200}, None, 0, 0.0, None),
        # Messages that come back from parking count as well.
        ({"moved": 100, "on_hold": 1}, None, 99, 0.25, False),
        ({"moved": 100, "on_hold": 1}, None, 100, 0.0, False),
        ({"on_hold": 1, "messages": 1}, None, 0, 0.25, True),
        # A search goes on soon.
        ({}, 0.05, 0, 0.05, None),
        # If another worker keeps the queues, this one does nothing of that.
        ({"moved": 500, "on_hold": 1, "messages": 1, "kept_ms": 900}, 0.05, 0, 0.25, None),
    ],
)
def test_how_long_it_rests_by_what_it_found(
    caretaker: Caretaker, clock: Clock, tended: Tended, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any],
    search: float | None, unparked: int, rest: float, *, busy: bool | None,
) -> None:  # fmt: skip
    asked: list[bool] = []
    looked: list[float] = []
    monkeypatch.setattr(caretaker._strays, "turn", lambda: search)
    monkeypatch.setattr(caretaker, "_unpark", lambda *, busy: asked.append(busy) or unparked)
    monkeypatch.setattr(caretaker, "_bring_forward", looked.append)
    tended.answer = answer
    assert caretaker._tick() == pytest.approx(rest)
    assert asked == ([] if busy is None else [busy])
    assert looked == ([clock.now] if answer.get("messages") and not answer.get("kept_ms") else [])


def test_only_at_a_heartbeat_it_is_noted_what_stood_nowhere(
    caretaker: Caretaker, clock: Clock, tended: Tended, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[list[str]] = []
    monkeypatch.setattr(caretaker._strays, "begin", begun.append)
    for beat, astray, searched in (
        (True, [b"reads", b"bulk"], []),
        (False, [], []),
        (True, [b"contacts", b"reads", b"bulk"], [["bulk", "reads"]]),
        (True, [b"groups"], [["bulk", "reads"]]),
    ):
        clock.now += BEAT if beat else 1.0
        tended.answer = {"astray": astray}
        caretaker._tick()
        assert begun == searched


@pytest.mark.parametrize(("draining", "wakes"), [(False, b"wake"), (True, b"all")])
def test_what_it_tells_the_script(
    caretaker: Caretaker, broker: DurableBroker, clock: Clock, monkeypatch: pytest.MonkeyPatch, *, draining: bool,
    wakes: bytes,
) -> None:  # fmt: skip
    given: list[Any] = []
    monkeypatch.setattr(caretaker._runner, "run", lambda _, keys, args: given.append((keys, args)))
    caretaker._clock_ms = 5_000_000.4
    if draining:
        broker.draining.set()
    for steady, silence in ((True, 100_000), (False, 0)):
        caretaker._tend(1000.0, b"about", steady=steady)
        keys, args = given.pop()
        assert args == [
            broker.broker_id, b"about", silence, 7 * 86_400_000, KEYS.namespace, 6_000_000, wakes.decode(), LATEST, "reads",
        ]  # fmt: skip
        assert keys == [
            KEYS.heartbeats, KEYS.workers, broker.keys.holds, broker.keys.parked,
            KEYS.sweep, KEYS.suspects, READS.ready, READS.bodies, READS.delayed, READS.stock_delayed,
            READS.stock_delayed_bodies, READS.dead, READS.dead_bodies, READS.dead_reasons, READS.deaths,
        ]  # fmt: skip


def test_what_waits_is_looked_at_for_its_deadline_in_parts(
    caretaker: Caretaker, broker: DurableBroker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def run(script: Any, keys: Any, args: Any) -> Any:
        given.append((script.name, args))
        return 400, b""

    monkeypatch.setattr(caretaker._runner, "run", run)
    for after, looks in ((0.0, 1), (0.274, 1), (0.275, 2)):
        caretaker._bring_forward(1000.0 + after)
        assert len(given) == looks
    # The default deadline of a day, and twice the longest pause that the API may ask for; in milliseconds.
    assert given[0] == ("overdue", [broker.broker_id, 86_400_000, 250, 7_200_000, "reads"])


def test_its_thread_keeps_no_process_from_ending(caretaker: Caretaker) -> None:
    assert (caretaker.name, caretaker.daemon) == ("caretaker", True)


def test_its_thread_goes_on_whatever_redis_does(
    caretaker: Caretaker, broker: DurableBroker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[Any] = [0.2, redis.ConnectionError("away"), ResponseError("WRONGTYPE"), 0.3]
    waited: list[float] = []
    told: list[str] = []
    noted: list[tuple[float, float]] = []

    def tick() -> float:
        end = ends.pop(0)
        clock.now += 5.0
        if isinstance(end, Exception):
            raise end
        return float(end)

    def wait(seconds: float) -> None:
        waited.append(seconds)
        noted.append((caretaker._steady_since, caretaker._beat_at))
        if not ends:
            caretaker._ending.set()

    monkeypatch.setattr(caretaker, "_tick", tick)
    monkeypatch.setattr(caretaker._ending, "wait", wait)
    monkeypatch.setattr(broker.link, "answered", lambda who: told.append(f"{who} is answered"))
    monkeypatch.setattr(broker.link, "lost", lambda who, _, began: told.append(f"{who} lost {began}") or 0.7)
    caretaker._beat_at = 3.0
    with capture_logs() as lines:
        caretaker.run()
    assert waited == [0.2, 0.7, its_module.TICK_SECONDS, 0.3]
    assert told == ["caretaker is answered", "caretaker lost 1005.0", "caretaker is answered"]
    assert [line["event"] for line in lines] == ["caretaker.fault"]
    # While Redis was away no heartbeat arrived, so the caretaker sends its own at the next look.
    assert noted == [(1000.0, 3.0), (1010.0, 0.0), (1015.0, 0.0), (1015.0, 0.0)]


def test_a_worker_that_stops_moves_all_that_is_due_before_it_goes(
    still: StillClock, caretaker: Caretaker, broker: DurableBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests = [0.0, 0.0, 0.1, 0.0]
    joined: list[bool] = []
    monkeypatch.setattr(caretaker, "join", lambda: joined.append(caretaker._ending.is_set()))
    monkeypatch.setattr(caretaker, "_tick", lambda: rests.pop(0))
    still.redis.hset(KEYS.workers, broker.broker_id, "{}")
    still.redis.zadd(KEYS.heartbeats, {broker.broker_id: 1})
    still.redis.hset(KEYS.suspects, broker.broker_id, "a")
    caretaker._client.ping()
    caretaker.stop()
    assert (rests, joined) == ([0.0], [True])
    assert still.all() == {}
    assert not any(each.is_connected for each in caretaker._client.connection_pool._available_connections)


@pytest.mark.parametrize(
    ("error", "raises"), [(redis.ConnectionError("away"), False), (ResponseError("WRONGTYPE"), True)]
)
def test_a_worker_that_cannot_leave_the_list_is_found_dead_by_others(
    caretaker: Caretaker,
    broker: DurableBroker,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    *,
    raises: bool,
) -> None:
    def fails() -> float:
        raise error

    told: list[str] = []
    monkeypatch.setattr(caretaker, "join", lambda: None)
    monkeypatch.setattr(caretaker, "_tick", fails)
    monkeypatch.setattr(broker.link, "lost", lambda who, *_: told.append(who) or 0.0)
    if raises:
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            caretaker.stop()
    else:
        caretaker.stop()
    assert told == ([] if raises else ["caretaker"])


@pytest.mark.parametrize(
    ("age_ms", "kept"), [(7 * 86_400_000 - 600_000, True), (7 * 86_400_000 + 1000, False)]
)
def test_a_dead_letter_is_kept_for_a_week(
    still: StillClock, caretaker: Caretaker, clock: Clock, age_ms: int, *, kept: bool
) -> None:
    seconds, micros = still.redis.time()
    still.redis.zadd(READS.dead, {"a": seconds * 1000 + micros // 1000 - age_ms})
    caretaker._tick()
    assert (READS.dead in still.all()) is kept


def test_it_says_which_forms_it_reads_and_how_many_jobs_have_a_place(
    caretaker: Caretaker, broker: DurableBroker
) -> None:
    broker.gate.shares.in_flight = lambda: {"reads": 2}
    told = json.loads(caretaker._say())
    assert (told["reads"], told["in_flight"], told["account"]) == (
        [1, 2, 3],
        {"reads": 2},
        broker.keys.account,
    )
    assert (told["pid"], told["host"]) == (os.getpid(), socket.gethostname())
