"""`events`: the stream for people and for programs."""

from __future__ import annotations

import json
import queue
import signal
import threading

from delivery.answer import envelope
from tests.harness import House, wait_for
from tests.workers.cli.conftest import Command


def put(house: House, kind: str, name: str, entry_id: str = "*") -> str:
    data = {
        "channel": "sms",
        "group_id": "gro_1",
        "name": name,
        "attempts": 1,
        "replayed": False,
        "reconciled": False,
    }
    if kind.endswith("failed"):
        error = {"kind": "rejected", "code": 514, "message": "Group ID not found", "details": []}
        data = {"job": "add_contact", "error": error, "attempts": 1, "replayed": False, "reconciled": False}
    field, event = envelope(kind, event_id=name, data=data, subject="gro_1")
    house.redis.xadd("coupontools:events", {"type": field, "event": event}, id=entry_id)
    return event


def test_history_as_json_by_type_and_as_a_table(house: House, command: Command) -> None:
    empty = command("events")
    assert (empty.returncode, empty.stdout) == (0, "no events\n")
    assert command("events", "--json").stdout == ""
    written = [
        put(house, "group.created", "Crème"),
        put(house, "contact.failed", "m-2"),
        put(house, "group.created", "m-3"),
    ]

    everything = command("events", "--json")
    # Byte by byte what is on the stream.
    assert everything.stdout.splitlines() == written
    for name in ("contact.failed", "coupontools.contact.failed"):
        only = command("events", "--json", "--type", name)
        assert only.stdout.splitlines() == [written[1]]
    table = command("events").stdout
    assert "Crème" in table
    assert "rejected 514: Group ID not found" in table
    assert table.count("group.created") == 2


def test_a_type_that_does_not_exist_is_wrong_usage(house: House, command: Command) -> None:
    done = command("events", "--type", "contact.feiled")
    assert (done.returncode, done.stdout) == (2, "")
    assert "contact.feiled" in done.stderr
    assert "contact.failed" in done.stderr


def test_what_others_put_on_the_stream_is_passed_over(house: House, command: Command) -> None:
    house.redis.xadd("coupontools:events", {"hello": "x"})
    house.redis.xadd("coupontools:events", {"type": "x", "event": "no JSON"})
    written = put(house, "group.created", "m-1")
    assert command("events", "--json").stdout.splitlines() == [written]


def test_a_stream_of_another_name(house: House, command: Command) -> None:
    put(house, "group.created", "m-1")
    house.redis.rename("coupontools:events", "other:events")
    assert json.loads(command("events", "--json", EVENTS_STREAM="other:events").stdout)["id"] == "m-1"


def test_follow_shows_what_was_and_what_comes_until_interrupted(house: House) -> None:
    first = put(house, "group.created", "m-1")
    command = ("events", "--follow", "--json", "--type", "group.created")
    with house.start(*command, streams={"text": True}) as process:
        lines: queue.Queue[str] = queue.Queue()
        source = process.stdout
        reader = threading.Thread(target=lambda: [lines.put(line) for line in source])
        reader.start()
        try:
            assert lines.get(timeout=240) == first + "\n"
            put(house, "contact.failed", "m-2")
            third = put(house, "group.created", "m-3")
            assert lines.get(timeout=240) == third + "\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=240) == 130
            reader.join(timeout=60)
            assert lines.empty()
            assert process.stderr.read() == ""
        finally:
            if process.poll() is None:
                process.kill()


def test_follow_since_a_moment_without_events_shows_none_from_before_it(house: House) -> None:
    put(house, "group.created", "m-1")
    house.redis.xadd("coupontools:events", {"junk": "no event"})
    future = 4_102_444_800_000
    with house.start(
        "events", "--follow", "--json", "--limit", "1", "--since", "2100-01-01", streams={"text": True}
    ) as process:
        wait_for(
            lambda: any(client["cmd"] == "xread" for client in house.redis.client_list()),
            what="the command that follows",
        )
        put(house, "group.created", "m-2")
        house.redis.xadd("coupontools:events", {"junk": "no event"}, id=f"{future - 1}-5")
        event = put(house, "group.created", "m-3", f"{future}-0")
        output, errors = process.communicate(timeout=240)
    assert (process.returncode, output, errors) == (0, event + "\n", "")
