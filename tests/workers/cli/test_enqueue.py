"""`enqueue` of many jobs, later, and with an end to the waiting."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from config import Settings
from tests.harness import House
from tests.workers.cli.conftest import Command
from workers.cli.job_lines import messages_of
from workers.cli.wait import NoAnswer, Wait

CONTACT = {"channel": "sms", "group_id": "gro_119251", "phone": "+32470123456"}


def test_wrong_lines_of_a_file_are_told_and_the_others_are_enqueued(house: House, command: Command) -> None:
    lines = [
        json.dumps({"job": "add_contact", **CONTACT, "correlation_id": "é"}),
        "",
        '{"job": "fly_to_moon"}',
        "nope",
        "[1]",
        json.dumps({"job": "add_contact", **CONTACT, "phone": "0470"}),
        json.dumps({"job": "list_groups", "channel": "sms"}),
        '{"job": "create_group", "channel": "sms", "name": ' + '"x"' * 1 + "}",
    ]
    done = command("enqueue", "--file", "-", "--json", stdin="\n".join(lines))
    assert done.returncode == 1
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [
        "line 3", "line 4", "line 5", "line 6",
    ]  # fmt: skip
    ids = [json.loads(line)["message_id"] for line in done.stdout.splitlines()]
    queued: list[Any] = [
        house.redis.lindex(f"dramatiq:{name}", 0) for name in ("contacts", "reads", "groups")
    ]
    assert [entry.decode() for entry in queued] == ids
    body: Any = house.redis.hget("dramatiq:contacts.msgs", ids[0])
    assert json.loads(body)["kwargs"] == {**CONTACT, "correlation_id": "é"}
    # To `bulk` goes what may go there.
    done = command("enqueue", "--file", "-", "--queue", "bulk", stdin="\n".join([lines[0], lines[6]]))
    assert (done.returncode, done.stderr) == (1, "line 2: list_groups may be put on reads, not on bulk\n")
    assert house.redis.llen("dramatiq:bulk") == 1
    for wrong in (
        ["--file", "-", "list_groups"],
        ["--file", "-", "--channel", "sms"],
        ["--file", "/no/such"],
        [],
    ):
        assert command("enqueue", *wrong).returncode == 2, wrong


def test_the_lines_before_one_that_cannot_be_read_are_enqueued() -> None:
    def failing() -> Iterator[bytes]:
        yield b'{"job": "list_groups", "channel": "sms"}\n'
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    refused: list[tuple[int, str]] = []
    messages = list(messages_of(failing(), lambda *line: refused.append(line)))
    assert (len(messages), refused) == (
        1, [(2, "cannot be read: Input/output error; the lines from here on are left out")],
    )  # fmt: skip


def test_a_byte_order_mark_is_no_part_of_the_first_line(house: House, command: Command) -> None:
    line = '\ufeff{"job": "list_groups", "channel": "sms"}'
    done = command("enqueue", "--file", "-", stdin=f"{line}\n{line}\n")
    assert (done.returncode, house.redis.llen("dramatiq:reads")) == (1, 1)
    assert done.stderr.startswith("line 2: is not JSON")


def test_a_number_of_more_than_64_bits_is_refused_and_not_changed(house: House, command: Command) -> None:
    payload = '{"id": "evt_1", "extra": 1180591620717411303425}'
    done = command("enqueue", "verify_webhook", "--payload", "-", stdin=payload)
    assert done.returncode == 2
    assert "64 bits" in done.stderr
    lines = [
        f'{{"job": "verify_webhook", "payload": {payload}}}',
        '{"job": "list_groups", "channel": "sms", "deadline_seconds": ' + "9" * 30 + "}",
        '{"job": "list_groups", "channel": "sms", "deadline_seconds": ' + "9" * 5000 + "}",
    ]
    done = command("enqueue", "--file", "-", stdin="\n".join(lines))
    assert done.returncode == 1
    told = done.stderr.splitlines()
    assert len(told) == 3
    assert all("64 bits" in line for line in told[:2])
    assert told[2].startswith("line 3: ")
    assert not house.redis.exists("dramatiq:webhooks", "dramatiq:reads")


def test_a_delay_is_that_of_stock_producers(house: House, command: Command) -> None:
    before = time.time() * 1000
    done = command("enqueue", "list_groups", "--channel", "sms", "--delay", "90.5", "--queue", "reads")
    message_id = done.stdout.strip()
    assert house.redis.lrange("dramatiq:reads.DQ", 0, -1) == [message_id.encode()]
    body: Any = house.redis.hget("dramatiq:reads.DQ.msgs", message_id)
    message = json.loads(body)
    assert message["queue_name"] == "reads.DQ"
    assert 90_000 < message["options"]["eta"] - before < 150_000


def test_a_wait_that_is_over_says_why_and_exits_3(house: House, command: Command) -> None:
    house.enqueue("list_groups", channel="sms")
    asked = ("enqueue", "list_groups", "--channel", "sms", "--wait", "--timeout", "0")
    done = command(*asked)
    assert done.returncode == 3
    assert done.stderr == "no answer within 0 s: it waits: no worker takes what waits in reads\n"
    # A worker that was heard of just now, as the look-up sees it.
    house.redis.zadd("dramatiq:__heartbeats__", {"w": time.time() * 1000 + 600_000})
    house.redis.hset("coupontools:workers", "w", json.dumps({"queues": ["reads"]}))
    done = command(*asked)
    assert done.stderr == "no answer within 0 s: it waits: behind 2 others in reads\n"
    assert command("enqueue", "list_groups", "--channel", "sms", "--timeout", "1").returncode == 2


def test_a_wait_at_another_stream_than_that_of_the_workers_says_so(house: House) -> None:
    house.worker()
    message = house.enqueue("list_groups", channel="sms")
    house.answer(message)
    settings = Settings(_env_file=None, events_stream="other:events")
    with pytest.raises(
        NoAnswer, match="it is answered, but its event is not on the stream: is EVENTS_STREAM that of"
    ):
        next(Wait(house.redis, settings, [message], seconds=-1).answers("0-0"))


def test_a_wait_ends_where_an_event_was_trimmed_before_it_was_read(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.cli.wait.WHY_SECONDS", 0)
    house.worker()
    lost = [house.enqueue("list_groups", channel="sms") for _ in range(2)]
    for message in lost:
        house.answer(message)
    house.redis.xtrim("coupontools:events", maxlen=0, approximate=False)
    read = house.enqueue("list_groups", channel="sms")
    house.answer(read)
    answers = Wait(house.redis, Settings(_env_file=None), [*lost, read], seconds=60).answers("0-0")
    assert next(answers)["id"].startswith(read)
    with pytest.raises(
        NoAnswer, match=r"^no answer: it is answered, but its event is not on the stream.*\(and 1 more\)$"
    ):
        next(answers)


def test_a_wait_says_why_also_while_the_stream_never_pauses(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("workers.cli.wait.WHY_SECONDS", 0)
    message = house.enqueue("list_groups", channel="sms")
    for event_id in ("of somebody else", "of another", message):
        event = {"id": event_id, "type": "coupontools.groups.listed", "time": "now", "data": {}}
        house.redis.xadd("coupontools:events", {"type": event["type"], "event": json.dumps(event)})
    assert len(list(Wait(house.redis, Settings(_env_file=None), [message], seconds=60).answers("0-0"))) == 1
    assert "no answer yet: it waits: no worker takes what waits in reads" in capsys.readouterr().err


def test_who_reads_a_long_listing_slowly_gets_all_of_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in (1, 2, 3):
        data = {"page": page, "pages": 3}
        event = {"id": f"m/{page}", "type": "coupontools.groups.listed", "time": "now", "data": data}
        house.redis.xadd("coupontools:events", {"type": event["type"], "event": json.dumps(event)})
    settings = Settings(_env_file=None)
    clock = {"now": 1000.0}
    monkeypatch.setattr("workers.cli.wait.time", SimpleNamespace(monotonic=lambda: clock["now"]))
    seen = []
    for event in Wait(house.redis, settings, ["m"], seconds=30).answers("0-0"):
        seen.append(event["id"])
        clock["now"] += 60
    assert seen == ["m/1", "m/2", "m/3"]
    # Somebody else's answer gives no time.
    with pytest.raises(NoAnswer, match="no answer within -1 s: it is nowhere to be found"):
        next(Wait(house.redis, settings, ["another"], seconds=-1).answers("0-0"))


def test_an_argument_that_no_job_knows_is_told_by_its_name(command: Command) -> None:
    done = command("enqueue", "--file", "-", stdin='{"job": "list_groups", "channel": "sms", "chanel": "x"}')
    assert done.returncode == 1
    assert done.stderr.startswith("line 1: chanel: is not an argument of list_groups; known are ")
