"""Which entries are messages, and what the reason says if an entry is none."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from workers.broker import entries
from workers.broker.entries import LATEST, Unreadable, read_entry, read_object

ACTORS = {"list_groups": ["reads"], "add_contact": ["contacts", "bulk"]}


def body(**fields: Any) -> bytes:
    told = {
        "queue_name": "reads",
        "actor_name": "list_groups",
        "args": [],
        "kwargs": {"channel": "sms"},
        "options": {"redis_message_id": "a"},
        "message_id": "m-1",
        "message_timestamp": 1_700_000_000_000,
        **fields,
    }
    return json.dumps({name: value for name, value in told.items() if value is not ...}).encode()


def why(given: bytes | None, queue: str = "reads", entry_id: str = "a") -> str:
    with pytest.raises(Unreadable) as raised:
        read_entry(queue, entry_id, given, ACTORS)
    return str(raised.value)


def test_a_message_is_read_as_it_was_sent() -> None:
    options = {
        "redis_message_id": "a",
        "eta": 1_800_000_000_000,
        "traceparent": "t",
        "original_id": "o",
        "others": 1,
    }
    read = read_entry("reads", "a", body(options=options, args=[1], message_timestamp=5.9), ACTORS)
    assert (read.queue_name, read.actor_name, read.message_id) == ("reads", "list_groups", "m-1")
    assert (read.args, read.kwargs, read.message_timestamp) == ((1,), {"channel": "sms"}, 5)
    # Options of other libraries are left out.
    assert read.options == {
        "redis_message_id": "a",
        "eta": 1_800_000_000_000,
        "traceparent": "t",
        "original_id": "o",
    }
    # Arguments are people's numbers and names, and must not be shown.
    assert str(read) == repr(read) == "list_groups(m-1)"


def test_a_delayed_message_of_a_stock_producer_and_each_queue_of_an_actor_are_read() -> None:
    assert read_entry("reads", "a", body(queue_name="reads.DQ"), ACTORS).queue_name == "reads"
    for queue in ("contacts", "bulk"):
        told = body(queue_name=queue, actor_name="add_contact")
        assert read_entry(queue, "a", told, ACTORS).queue_name == queue


@pytest.mark.parametrize(
    "field", ["queue_name", "actor_name", "args", "kwargs", "options", "message_id", "message_timestamp"]
)
def test_a_field_that_is_missing_is_named(field: str) -> None:
    assert why(body(**{field: ...})) == f"the message lacks {field}"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"x": 1, "b": 2}, "the message has unknown fields: b, x"),
        ({"queue_name": "bulk"}, "the message says queue_name 'bulk' but lies in 'reads'"),
        ({"queue_name": 7}, "queue_name is not a string"),
        ({"actor_name": 7}, "actor_name is not a string"),
        ({"args": {}}, "args is not an array"),
        ({"kwargs": []}, "kwargs is not an object"),
        ({"options": []}, "options is not an object"),
        ({"message_id": 7}, "message_id is not a string"),
        ({"message_id": ""}, "message_id is not 1 to 255 printable characters"),
        ({"message_id": "x" * 256}, "message_id is not 1 to 255 printable characters"),
        ({"message_id": "a\nb"}, "message_id is not 1 to 255 printable characters"),
        (
            {"actor_name": "add_contact"},
            "the actor add_contact has the queue 'contacts' or 'bulk', not 'reads'",
        ),
        (
            {"options": {"redis_message_id": "b"}},
            "options.redis_message_id is not the id under which the message lies",
        ),
        ({"options": {}}, "options.redis_message_id is not the id under which the message lies"),
        ({"message_timestamp": -1}, "message_timestamp is not a number of Unix milliseconds"),
        ({"message_timestamp": LATEST + 1}, "message_timestamp is not a number of Unix milliseconds"),
        ({"message_timestamp": True}, "message_timestamp is not a number of Unix milliseconds"),
        ({"message_timestamp": "5"}, "message_timestamp is not a number of Unix milliseconds"),
        ({"message_timestamp": None}, "message_timestamp is not a number of Unix milliseconds"),
        (
            {"options": {"redis_message_id": "a", "eta": -1}},
            "options.eta is not a number of Unix milliseconds",
        ),
        (
            {"options": {"redis_message_id": "a", "eta": 1_800_000_000.5}},
            "options.eta must be Unix milliseconds; this looks like seconds",
        ),
        (
            {"options": {"redis_message_id": "a", "eta": False}},
            "options.eta is not a number of Unix milliseconds",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(fields: dict[str, Any], reason: str) -> None:
    assert why(body(**fields)) == reason


@pytest.mark.parametrize(
    "fields",
    [{"message_timestamp": 0}, {"message_timestamp": LATEST}, {"message_id": "x"}, {"message_id": "x" * 255}],
)
def test_what_is_just_within_bounds_is_read(fields: dict[str, Any]) -> None:
    assert read_entry("reads", "a", body(**fields), ACTORS)


def test_a_moment_may_be_as_late_as_the_year_2500() -> None:
    """Later moments are too large to calculate with."""
    last = round(datetime(2500, 1, 1, tzinfo=UTC).timestamp() * 1000)
    assert read_entry("reads", "a", body(message_timestamp=last), ACTORS).message_timestamp == last
    assert why(body(message_timestamp=last + 1)) == "message_timestamp is not a number of Unix milliseconds"


def test_a_delay_of_none_is_no_delay() -> None:
    read = read_entry("reads", "a", body(options={"redis_message_id": "a", "eta": None}), ACTORS)
    assert read.options == {"redis_message_id": "a"}


def test_an_unknown_actor_and_a_missing_message_are_told() -> None:
    assert "list_grops" in why(body(actor_name="list_grops"))
    assert why(None) == "there is no message under this id"


def test_so_much_of_unknown_fields_is_repeated() -> None:
    assert len(why(body(**{"y" * 500: 1}))) == len("the message has unknown fields: ") + 200


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (b"{nothing", "it is not JSON: "),
        (b"[1]", "it is no JSON object"),
    ],
)
def test_what_is_no_object_is_said_of_whatever_it_is(given: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as raised:
        read_object(given, "it")
    assert str(raised.value).startswith(reason)


@pytest.mark.parametrize("number", [10**18, 10**19 - 1, 2**64, 10**30])
def test_a_long_whole_number_stays_the_number_that_it_is(number: int) -> None:
    assert read_object(b'{"a":%d}' % number) == {"a": number}


def test_what_a_stock_producer_asks_for_in_vain_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(entries, "_told", set())
    options = {"redis_message_id": "a", "pipe_target": {"x": 1}, "on_success": None, "store_results": True}
    for told in (options, options, {**options, "on_success": "f"}):
        read_entry("reads", "a", body(options=told), ACTORS)
    lines = [line for line in capsys.readouterr().out.splitlines() if "options.not_done" in line]
    assert len(lines) == 2
    assert "pipe_target" in lines[0]
    assert "store_results" in lines[0]
    assert "on_success" not in lines[0]
    assert "on_success" in lines[1]
    assert "pipe_target" not in lines[1].split("problem=")[0]
