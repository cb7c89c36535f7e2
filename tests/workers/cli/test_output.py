"""What strangers write into Redis: it drives no terminal, breaks no line in two, and stops no command."""

from __future__ import annotations

import json
import time

import pytest

from config.keys import Keys
from tests.harness import House, message
from tests.harness.holds import put_hold

# An escape sequence as 7-bit and as C1 control, a line separator, a deleted character, and one beyond 16 bits that nobody can print.
ODD = "a\x1b[31mb\x9b31mc\u2028d\x7fe\U000e0001f"
#: Each must be safe on a terminal.
LINES = [
    ("status",),
    ("events",),
    ("dead", "list"),
    ("dead", "show", "m-1"),
    ("dead", "show", "m-2"),
    ("status", "--json"),
    ("events", "--json"),
    ("dead", "list", "--json"),
    ("dead", "show", "m-1", "--json"),
]


@pytest.fixture
def odd_house(house: House) -> House:
    """A house in which a hold, a worker, an event and two dead letters hold odd characters."""
    redis, now = house.redis, time.time() * 1000
    redis.zadd("dramatiq:__heartbeats__", {ODD: now})
    about = {"queues": [ODD, 7], "host": ODD, "pid": "x", "account": "mine"}
    redis.hset("coupontools:workers", ODD, json.dumps(about))
    put_hold(redis, Keys(account="mine"), "account/refused", code="1000", message=ODD, worker=ODD)
    event = {"id": "m", "type": f"coupontools.{ODD}", "time": ODD * 2, "subject": ODD, "data": {"name": ODD}}
    # A stranger's JSON may stand on several lines.
    redis.xadd("coupontools:events", {"type": "x", "event": json.dumps(event, indent=1, ensure_ascii=False)})
    for number, body in enumerate([{"name": ODD}, None], start=1):
        queue, redis_id, entry = message("create_group", body or {}, message_id=f"m-{number}")
        text = json.dumps(entry, ensure_ascii=False) if body else ODD
        reason = {"job": ODD, "kind": ODD, "code": None, "message": ODD, "message_id": f"m-{number}"}
        redis.zadd(f"dramatiq:{queue}.XQ", {redis_id: now})
        redis.hset(f"dramatiq:{queue}.XQ.msgs", redis_id, text)
        redis.hset(f"coupontools:dead:{queue}", redis_id, json.dumps(reason))
    return house


@pytest.mark.parametrize("arguments", LINES, ids=" ".join)
def test_texts_of_strangers_drive_no_terminal(odd_house: House, command, arguments: tuple[str, ...]):
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.replace("\n", "").isprintable()
    if "--json" in arguments:
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        # The odd text is escaped, not lost.
        assert ODD in _texts(lines)


def _texts(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case list():
            return [text for each in value for text in _texts(each)]
        case dict():
            return [text for each in value.values() for text in _texts(each)]
    return []


@pytest.mark.parametrize(
    "odd",
    [
        {"id": 1},
        {"id": "m"},
        {"id": "m", "type": "t", "time": 5, "data": {}},
        {"id": "m", "type": "t", "time": "t", "data": None},
        {"id": "m", "type": "t", "time": "t", "data": {"error": "x"}},
        {"id": "m", "type": "t", "time": "t", "data": {"error": {}, "replayed": True}},
        {"id": "m", "type": "t", "time": "t", "data": {"page": 1, "pages": 1, "total": 1}},
        {"id": "m", "type": "t", "time": "t", "data": {"page": 1, "pages": 1, "total": 1, "groups": 7}},
    ],
    ids=json.dumps,
)
def test_an_odd_event_hides_no_other(house: House, command, odd: dict):
    good = {
        "id": "m-1",
        "type": "coupontools.group.created",
        "time": "2026-11-24T00:00:00.000Z",
        "data": {"name": "Pizza"},
    }
    for event in (odd, good):
        house.redis.xadd("coupontools:events", {"type": event.get("type", "x"), "event": json.dumps(event)})
    done = command("events")
    assert done.returncode == 0, done.stderr
    assert "Pizza" in done.stdout
    assert json.loads(command("events", "--json").stdout.splitlines()[-1]) == good


def test_an_event_nested_too_deeply_hides_no_other(house: House, command):
    data = "[" * 500 + "]" * 500
    event = f'{{"id":"m","type":"t","time":"t","data":{{"name":{data}}}}}'
    house.redis.xadd("coupontools:events", {"type": "x", "event": event})
    assert command("events").returncode == 0
    assert command("events", "--json").stdout == event + "\n"


@pytest.mark.parametrize("about", [b'"x"', b'{"queues": 5, "host": 1, "pid": "x", "account": []}', b"\xff"])
def test_an_odd_worker_stops_no_look(house: House, command, about: bytes):
    house.redis.zadd("dramatiq:__heartbeats__", {b"\xff\xfe": time.time() * 1000})
    house.redis.hset("coupontools:workers", b"\xff\xfe", about)
    done = command("status", "--json")
    assert done.returncode == 0, done.stderr
    assert [worker["id"] for worker in json.loads(done.stdout)["workers"]] == ["\\xff\\xfe"]
    assert command("status").returncode == 0
    assert command("check", "--any-host").returncode == 0


@pytest.mark.parametrize(
    "odd",
    [
        b"\xff",
        b"[1]",
        b'{"scope": "fax", "kind": "new", "code": "E1", "since": "x", "retry_at": 1e300, "message": 7}',
    ],
)
def test_an_odd_hold_stops_no_look_and_hides_no_other(house: House, command, odd: bytes):
    keys = Keys(account="mine")
    put_worker(house, "w")
    house.redis.hset(keys.holds, b"fax/new/\xff", odd)
    put_hold(house.redis, keys, "account/paused", message="moving house")
    done = command("status", "--json")
    assert done.returncode == 0, done.stderr
    holds = [(hold["scope"], hold["kind"][:3]) for hold in json.loads(done.stdout)["holds"]]
    assert holds == [("account", "pau"), ("fax", "new")]
    shown = command("status").stdout
    assert "moving house" in shown
    assert "fax held" in shown
    assert command("check", "--any-host").returncode == 0


def put_worker(house: House, name: str, account: str = "mine") -> None:
    house.redis.zadd("dramatiq:__heartbeats__", {name: time.time() * 1000})
    house.redis.hset("coupontools:workers", name, json.dumps({"account": account}))


def test_odd_counts_stop_no_look(house: House, command):
    minute = f"coupontools:minute:{int(time.time()) // 60}"
    for odd in (b"x", b"", b"1.5", b"9" * 400, b"9" * 5000):
        house.redis.hset(minute, mapping={"contacts|succeeded": odd, "groups|first": odd, b"\xff": odd})
        house.redis.hset("coupontools:forgot", mapping={"at": odd or "inf", "times": odd})
        house.redis.zadd("coupontools:batches", {b"\xff": 2, "odd": 1})
        house.redis.hset("coupontools:batch:odd", mapping={"id": "spring", "size": odd, b"\xff": odd})
        for arguments in (("status",), ("check", "--any-host"), ("batches",)):
            assert "Traceback" not in command(*arguments).stderr
            told = json.loads(command(*arguments, "--json").stdout)
        assert told["batch_id"] == "spring"
        assert "Redis forgot something" in command("status").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("dead", "list", "--kind", ODD),
        (ODD,),
        ("pause", f"--{ODD}"),
        ("job", ODD * 999, "--actor", ODD * 999),
    ],
    ids=["value", "command", "option", "giant"],
)
def test_what_is_wrong_with_an_option_drives_no_terminal(command, arguments: tuple[str, ...]):
    done = command(*arguments)
    assert done.returncode == 2
    assert done.stderr.replace("\n", "").isprintable()
    assert len(done.stderr) < 4000


@pytest.mark.parametrize(
    "arguments", [("pause", "--reason", "\udcff"), ("cancel", "a", "\udcff"), ("events", "--type", "\udcff")]
)
def test_bytes_that_are_no_text_are_a_usage_error(command, arguments: tuple[str, ...]):
    done = command(*arguments)
    assert done.returncode == 2
    assert "must be UTF-8 text" in done.stderr


def test_a_folder_that_cannot_be_written_is_one_line(command):
    done = command("contract", "--folder", "x" * 300)
    assert (done.returncode, done.stderr) == (1, "--folder cannot be written: File name too long\n")
