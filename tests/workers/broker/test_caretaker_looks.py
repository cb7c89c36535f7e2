"""What one look of the caretaker does and tells, and how long it rests, by a clock that the test moves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from config.keys import Keys
from tests.harness.still_clock import StillClock
from workers.broker import DurableBroker
from workers.broker import caretaker as its_module
from workers.broker.caretaker import Caretaker

KEYS = Keys()
READS = KEYS.queue("reads")
#: A worker is dead after so many seconds of silence, and beats four times as often.
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
    assert broker.about == caretaker.about == still.redis.hget(KEYS.workers, broker.broker_id)
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
        monkeypatch.setattr(broker, "in_flight", lambda jobs=jobs: {"reads": jobs})
        clock.now = 1000.0 + after
        caretaker._tick()
        assert about(still, broker)["in_flight"].get("reads", 0) == written


def test_while_another_worker_keeps_the_queues_this_one_asks_for_nothing(
    still: StillClock, caretaker: Caretaker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, micros = still.redis.time()
    still.redis.hset(
        KEYS.sweep, mapping={"keeper": "w2", "kept_until": seconds * 1000 + micros // 1000 + 1900}
    )
    assert caretaker._tick() == its_module.TICK_SECONDS
    assert clock.now < caretaker._kept_until <= clock.now + 1.9
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
    """A Redis that was frozen runs late what was sent to it, and would find everybody silent."""
    caretaker._tick()
    clock.now += 30.0
    sent: list[int] = []
    run = caretaker._runner.run
    monkeypatch.setattr(caretaker._runner, "run", lambda *given: sent.append(given[2][5]) or run(*given))
    seconds, _ = still.redis.time()
    caretaker._tick()
    assert sent[0] == pytest.approx(seconds * 1000 + 30_000, abs=120_000)
