"""How dead letters are read, found, sent again and forgotten."""

from __future__ import annotations

import json
from typing import Any

import pytest

from config.keys import Keys
from delivery.task import short_digest
from tests.harness.still_clock import StillClock
from workers.broker import dead_letters
from workers.broker.dead_letters import DeadLetter, DeadLetters, NotRetried

KEYS = Keys()
QUEUES = ("contacts", "reads")


@pytest.fixture
def letters(still: StillClock) -> DeadLetters:
    return DeadLetters(still.redis, KEYS, QUEUES)


def bury(still: StillClock, name: str, died: int, queue: str = "reads", **fields: Any) -> None:
    """Write a dead letter; ``reason`` and ``body`` replace its parts, and None leaves a part out."""
    its = KEYS.queue(queue)
    told: dict[str, Any] = {
        "message_id": f"m-{name}",
        "job": "list_groups",
        "kind": "rejected",
        "code": 514,
        "message": "no",
    }
    reason = fields.pop(
        "reason", told | {key: value for key, value in fields.items() if key in {"kind", "batch_id"}}
    )
    body = fields.pop("body", message(name, queue))
    still.redis.zadd(its.dead, {name: died})
    if reason:
        still.redis.hset(its.dead_reasons, name, json.dumps(reason))
    if body is not None:
        still.redis.hset(its.dead_bodies, name, body if isinstance(body, str) else json.dumps(body))


def message(name: str, queue: str = "reads", **fields: Any) -> dict[str, Any]:
    return {
        "queue_name": queue,
        "actor_name": "list_groups",
        "args": [],
        "kwargs": {"channel": "sms"},
        "options": {"redis_message_id": name},
        "message_id": f"m-{name}",
        "message_timestamp": 5,
        **fields,
    }


def names(found: Any) -> list[str]:
    return [letter.entry_id.decode() for letter in found]


def test_a_letter_tells_why_it_died(still: StillClock, letters: DeadLetters) -> None:
    bury(still, "a", 1_800_000_000_789, batch_id="spring")
    [letter] = letters.oldest_first()
    assert letter == DeadLetter(
        "reads", b"a", "m-a", "list_groups", "rejected", 514, "no", "2027-01-15T08:00:00.789Z", "spring"
    )
    assert letter.id == "m-a"
    assert letters.at("reads", b"a") == letter
    assert letters.at("reads", b"b") is None
    assert json.loads(letters.body(letter) or b"") == message("a")


def test_a_letter_without_a_reason_was_left_by_a_stock_worker(
    still: StillClock, letters: DeadLetters
) -> None:
    bury(still, "a", 1, reason=None)
    bury(still, "b", 2, reason=None, body="no JSON")
    readable, unreadable = letters.oldest_first()
    assert (readable.kind, readable.message_id, readable.job) == ("internal", "m-a", "list_groups")
    assert readable.message == "no reason is on record"
    assert (unreadable.kind, unreadable.message_id, unreadable.job, unreadable.id) == (
        "unreadable",
        "",
        "",
        "b",
    )
    assert unreadable.message.startswith("no reason is on record; the message is not JSON")


def test_letters_are_counted_and_read_queue_by_queue_the_oldest_first(
    still: StillClock, letters: DeadLetters
) -> None:
    for number in range(450):
        bury(still, f"r{number:03d}", number)
    bury(still, "c", 900, "contacts")
    assert letters.count() == 451
    assert names(letters.oldest_first()) == ["c", *(f"r{number:03d}" for number in range(450))]
    some = [letter for page in letters.that_died_before(400) for letter in page]
    assert sorted({*names(some)}) == [f"r{number:03d}" for number in range(401)]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"kind": "expired"}, ["b", "d"]),
        ({"batch_id": "spring"}, ["c", "d"]),
        ({"kind": "expired", "batch_id": "spring"}, ["d"]),
    ],
)
def test_letters_of_a_kind_or_a_batch_are_looked_at_alone(
    still: StillClock, given: dict[str, str], wanted: list[str]
) -> None:
    bury(still, "a", 1)
    bury(still, "b", 2, kind="expired")
    bury(still, "c", 3, batch_id="spring")
    bury(still, "d", 4, kind="expired", batch_id="spring")
    some = DeadLetters(still.redis, KEYS, QUEUES, **given)
    assert names(some.oldest_first()) == wanted
    assert some.count() == len(wanted)
    found, _ = some.newest_first(until=(9, 0), most=9, most_read=9)
    assert names(found) == wanted[::-1]


def test_the_newest_are_read_page_by_page_none_twice_and_none_left_out(
    still: StillClock, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This must hold even if many died in one millisecond."""
    monkeypatch.setattr(dead_letters, "LOOK", 3)
    for number in range(20):
        bury(still, f"r{number:02d}", number // 8, QUEUES[number % 2])
    expected = sorted(letters.oldest_first(), key=lambda letter: letter.died_at, reverse=True)
    for most in (1, 4, 7, 100):
        seen: list[DeadLetter] = []
        place: Any = (99, 0)
        while place:
            found, place = letters.newest_first(until=place, most=most, most_read=100)
            assert len(found) <= most
            seen += found
        assert sorted(names(seen)) == sorted(names(expected))
        assert [letter.died_at for letter in seen] == [letter.died_at for letter in expected]
    assert len(letters.newest_first(until=(1, 0), since_ms=1, most=99, most_read=99)[0]) == 8
    # The number of letters that are looked at is bounded, even if none is wanted.
    none = DeadLetters(still.redis, KEYS, QUEUES, kind="unknown")
    found, place = none.newest_first(until=(99, 0), most=9, most_read=5)
    assert (found, place) == ([], (1.0, 1))


def test_letters_are_read_page_by_page(
    still: StillClock, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each round trip asks for a bounded number of letters, and no letter is asked for twice."""
    assert (dead_letters.PAGE, dead_letters.LOOK) == (500, 50)
    monkeypatch.setattr(dead_letters, "PAGE", 3)
    monkeypatch.setattr(dead_letters, "LOOK", 3)
    for number in range(7):
        bury(still, f"r{number}", number)
    asked: list[Any] = []
    for name in ("zrange", "zrevrangebyscore", "hmget"):
        command = getattr(still.redis, name)

        def noted(*given: Any, name: str = name, command: Any = command, **more: Any) -> Any:
            asked.append((name, given[1:], more))
            return command(*given, **more)

        monkeypatch.setattr(still.redis, name, noted)
    alone = DeadLetters(still.redis, KEYS, ["reads"])
    assert names(alone.oldest_first()) == [f"r{number}" for number in range(7)]
    assert [given for name, given, _ in asked if name == "zrange"] == [(0, 2), (3, 5), (6, 8), (7, 9)]
    assert [len(given[0]) for name, given, _ in asked if name == "hmget"] == [3, 3, 1]
    asked.clear()
    found, place = alone.newest_first(until=(9, 0), since_ms=2, most=9, most_read=9)
    assert (names(found), place) == (["r6", "r5", "r4", "r3", "r2"], None)
    looks = [(given, more["start"], more["num"]) for name, given, more in asked if name == "zrevrangebyscore"]
    assert looks == [((9, 2), 0, 3), ((4.0, 2), 1, 3), ((2.0, 2), 1, 3)]
    # A letter that died at the given moment counts.
    some = [names(page) for page in alone.that_died_before(4)]
    assert sorted(name for page in some for name in page) == ["r0", "r1", "r2", "r3", "r4"]
    assert all(len(page) <= 3 for page in some)


def test_the_newest_go_on_where_they_stopped_within_a_millisecond(
    still: StillClock, letters: DeadLetters
) -> None:
    for number in range(5):
        bury(still, f"r{number}", 7)
    bury(still, "older", 3)
    for until, most, expected, place in (
        ((9.0, 0), 2, ["r4", "r3"], (7.0, 2)),
        ((7.0, 2), 2, ["r2", "r1"], (7.0, 4)),
        ((7.0, 4), 2, ["r0", "older"], (3.0, 1)),
        ((3.0, 1), 2, [], None),
    ):
        found, at = letters.newest_first(until=until, most=most, most_read=99)
        assert (names(found), at) == (expected, place)
    # The number of letters that are looked at is bounded, too, and not only of those that are found.
    found, at = letters.newest_first(until=(9.0, 0), most=99, most_read=3)
    assert (names(found), at) == (["r4", "r3", "r2"], (7.0, 3))
    # The time is bounded as well.
    found, at = letters.newest_first(until=(9.0, 0), since_ms=4, most=99, most_read=99)
    assert (len(found), at) == (5, None)


def test_the_time_of_letters_is_redis_s_in_milliseconds(
    still: StillClock, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(still.redis, "time", lambda: (1_800_000_000, 789_500))
    assert letters.now() == 1_800_000_000_789.5


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"x":1}', {"x": 1}),
        (b"{nothing", "{nothing"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        # These can be read, but not be written again.
        (b"[" * 254 + b"]" * 254, "[" * 254 + "]" * 254),
        (b'{"x":36893488147419103233}', '{"x":36893488147419103233}'),
        (b'{"x":%s}' % (b"9" * 300), '{"x":%s}' % ("9" * 300)),
    ],
)
def test_a_body_is_shown_as_what_it_is_or_as_text(body: bytes, read: Any) -> None:
    assert dead_letters.readable(body) == read


def test_letters_are_found_by_either_id(still: StillClock, letters: DeadLetters) -> None:
    bury(still, "a", 1)
    bury(still, "b", 2, "contacts")
    found = letters.find(["m-a", "b", "never"])
    assert {name: names(its) for name, its in found.items()} == {"m-a": ["a"], "b": ["b"], "never": []}
    # A letter whose id in Redis is its message id is found once.
    bury(still, "m-c", 3, reason={"message_id": "m-c", "job": "x", "kind": "rejected", "message": "no"})
    [letter] = letters.find(["m-c"])["m-c"]
    assert (letter.code, letter.batch_id) == (None, None)


def test_the_letters_of_a_batch_come_with_their_messages(still: StillClock, letters: DeadLetters) -> None:
    bury(still, "a", 1, batch_id="spring")
    bury(still, "b", 2, batch_id="summer")
    bury(still, "c", 3, batch_id="spring", body=None)
    assert [(letter.entry_id, json.loads(body)) for letter, body in letters.of_batch("spring")] == [
        (b"a", message("a"))
    ]


def test_a_letter_that_is_sent_again_is_a_new_message_of_the_same_job(
    still: StillClock, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The new message's time is Redis's: with the time of a host that is hours behind, the job would expire at once.
    monkeypatch.setattr(still.redis, "time", lambda: (1234, 500_000))
    kwargs = {"channel": "sms", "correlation_id": "c-1", "batch_id": "b", "batch_size": 2, "reply_to": "me"}
    options = {"redis_message_id": "a", "eta": 1_800_000_000_000, "traceparent": "t"}
    bury(still, "a", 1, body=message("a", kwargs=kwargs, options=options))
    [letter] = letters.oldest_first()
    message_id = letters.retry(letter, anew=False)
    assert message_id not in {None, "m-a"}
    reads = KEYS.queue("reads")
    found = still.all()
    assert found[reads.ready] == [message_id]
    assert json.loads(found[reads.bodies][message_id]) == message(
        "a",
        kwargs={"channel": "sms", "correlation_id": "c-1"},
        options={"redis_message_id": message_id, "traceparent": "t", "original_id": "m-a"},
        message_id=message_id,
        message_timestamp=1_234_500,
    )
    assert not {reads.dead, reads.dead_bodies, reads.dead_reasons} & found.keys()
    # The letter is gone, so it is not sent a second time.
    assert letters.retry(letter, anew=False) is None
    # If the message dies and is sent again, it still names the first one.
    bury(still, message_id or "", 2, body=json.loads(found[reads.bodies][message_id]))
    [again] = letters.oldest_first()
    third = letters.retry(again, anew=False)
    assert json.loads(still.all()[reads.bodies][third])["options"]["original_id"] == "m-a"


@pytest.mark.parametrize("answered", [True, False])
def test_a_letter_whose_id_was_used_and_sent_again_before_is_not_sent_under_an_id_in_use(
    still: StillClock, letters: DeadLetters, *, answered: bool
) -> None:
    """An import may use a batch, and so its message ids, again: if the second retry had the first one's id, the job would be lost."""
    reads = KEYS.queue("reads")
    bury(still, "a", 1)
    first = letters.retry(next(letters.oldest_first()), anew=False)
    if answered:
        still.redis.delete(reads.ready, reads.bodies)
        still.redis.set(KEYS.answered(str(first)), f"-digest {first}", ex=600)
    bury(still, "a", 2)
    second = letters.retry(next(letters.oldest_first()), anew=False)
    assert second not in {first, None}
    assert still.all()[reads.ready] == ([second] if answered else [first, second])


def test_what_is_no_job_is_not_sent_again(still: StillClock, letters: DeadLetters) -> None:
    bury(still, "a", 1, body='{"bytes":400000}')
    before = still.all()
    with pytest.raises(NotRetried, match="is no readable job and cannot be retried: the message lacks"):
        letters.retry(next(letters.oldest_first()), anew=False)
    assert still.all() == before


@pytest.mark.parametrize("anew", [True, False])
def test_what_ended_as_unknown_is_forgotten_if_it_is_to_call_again_and_else_kept(
    still: StillClock, letters: DeadLetters, *, anew: bool
) -> None:
    kwargs = {"channel": "sms", "name": "Pizza", "idempotency_key": "k"}
    bury(
        still,
        "a",
        1,
        body=message("a", actor_name="create_group", queue_name="groups", kwargs=kwargs),
        queue="groups",
    )
    record = KEYS.record("create_group", short_digest("k"))
    still.redis.hset(record, mapping={"s": "unknown"})
    still.redis.pexpire(record, 1000)
    [letter] = DeadLetters(still.redis, KEYS, ["groups"]).oldest_first()
    assert letters.retry(letter, anew=anew)
    assert (record in still.all()) is not anew
    # The message may wait for longer than a settled record is kept.
    assert anew or still.lives(record, 90 * 86_400_000)


def test_a_letter_that_is_gone_or_cannot_be_written_again_is_told(
    still: StillClock, letters: DeadLetters
) -> None:
    kwargs: Any = {"channel": "sms", "name": 1}
    for _ in range(300):
        kwargs = {"x": kwargs}
    bury(still, "a", 1, body=json.dumps(message("a", kwargs=kwargs)))
    [letter] = letters.oldest_first()
    before = still.all()
    with pytest.raises(NotRetried, match="nested too deeply"):
        letters.retry(letter, anew=False)
    assert still.all() == before
    still.redis.hdel(KEYS.queue("reads").dead_bodies, "a")
    assert letters.retry(letter, anew=False) is None
    assert letters.body(letter) is None


def test_a_number_of_more_than_64_bits_is_not_sent_again_as_another(
    still: StillClock, letters: DeadLetters
) -> None:
    # As a float it would be accepted, and a webhook would be verified with a number that it never had.
    payload = {"id": "evt_1", "extra": 2**70 + 1}
    bury(still, "a", 1, body=message("a", actor_name="list_groups", kwargs={"payload": payload}))
    [letter] = letters.oldest_first()
    before = still.all()
    with pytest.raises(NotRetried, match="more than 64 bits"):
        letters.retry(letter, anew=False)
    assert still.all() == before


def test_a_letter_without_a_key_of_its_own_calls_again_by_itself(
    still: StillClock, letters: DeadLetters
) -> None:
    """The ledger has no record for it that would have to be forgotten."""
    bury(still, "a", 1)
    assert letters.retry(next(letters.oldest_first()), anew=True)


def test_letters_of_several_queues_are_forgotten_at_once(still: StillClock, letters: DeadLetters) -> None:
    bury(still, "a", 1)
    bury(still, "b", 2, "contacts")
    bury(still, "kept", 3)
    gone = [letter for letter in letters.oldest_first() if letter.entry_id != b"kept"]
    assert letters.purge(gone) == 2
    assert letters.purge(gone) == 0
    assert names(letters.oldest_first()) == ["kept"]
