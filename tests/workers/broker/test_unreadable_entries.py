"""Bad input never stops good input: each sort of unreadable entry is set aside once, and its neighbours run at once."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from tests.harness import House, message, wait_for

PHONE = "+32470{:06d}"


def _contact(group: str, number: int, **fields: Any) -> tuple[str, str, dict[str, Any]]:
    return message(
        "add_contact", {"channel": "sms", "group_id": group, "phone": PHONE.format(number)}, **fields
    )


def _unreadable(group: str) -> dict[str, tuple[bytes, bytes | None]]:
    """Return each unreadable entry by what is wrong with it: its id and body, which is None for an id without a body."""
    entries: dict[str, tuple[bytes, bytes | None]] = {}

    def add(name: str, change: Any, *, redis_id: bytes | None = None) -> None:
        _, own_id, body = _contact(group, len(entries))
        changed = change(body, own_id)
        raw = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
        entries[name] = (redis_id if redis_id is not None else own_id.encode(), raw)

    def without(field: str) -> Any:
        return lambda body, _: {name: value for name, value in body.items() if name != field}

    def put(**fields: Any) -> Any:
        return lambda body, _: {**body, **fields}

    def option(**options: Any) -> Any:
        return lambda body, own_id: {**body, "options": {"redis_message_id": own_id, **options}}

    add("not JSON", lambda *_: b"{nothing")
    add("empty", lambda *_: b"")
    add("no object", lambda *_: b"[1, 2]")
    add("null", lambda *_: b"null")
    add("deep", lambda *_: b"[" * 10_000 + b"]" * 10_000)
    add("not UTF-8", lambda body, _: json.dumps(body).encode().replace(b"contacts", b"\xff\xfe"))
    for field in ("queue_name", "actor_name", "args", "kwargs", "options", "message_id", "message_timestamp"):
        add(f"lacks {field}", without(field))
    add("extra field", put(colour="red"))
    add("options null", put(options=None))
    add("options a list", put(options=[]))
    add("kwargs a list", put(kwargs=[]))
    add("args an object", put(args={}))
    add("message_id a number", put(message_id=7))
    add("message_id empty", put(message_id=""))
    add("timestamp a text", put(message_timestamp="now"))
    add("timestamp true", put(message_timestamp=True))
    add(
        "timestamp endless",
        lambda body, _: json.dumps(body).encode().replace(b'_timestamp": ', b'_timestamp": 1e999 , "x": '),
    )
    add("another id", option(redis_message_id=str(uuid.uuid4())))
    add("no id in options", put(options={}))
    add("id not UTF-8", lambda body, _: body, redis_id=b"\xff\xfe\x01")
    add("id not UTF-8 either", lambda body, _: body, redis_id=b"\xff\xfe\x02")
    add("another queue's name", put(queue_name="groups"))
    add("a list for a queue's name", put(queue_name=["contacts"]))
    add("unknown actor", put(actor_name="send_pizza"))
    add("another queue's actor", put(actor_name="list_groups"))
    add("eta a text", option(eta="soon"))
    add("eta true", option(eta=True))
    add("eta a list", option(eta=[1]))
    add("eta negative", option(eta=-5))
    add("eta beyond all clocks", option(eta=10**17))
    entries["id without body"] = (str(uuid.uuid4()).encode(), None)
    return entries


#: Options of other libraries and of Dramatiq's own middleware: they are ignored, and the job runs.
IGNORED = [
    {"throws": "ValueError"},
    {"max_retries": "many"},
    {"retries": {"a": 1}},
    {"on_failure": "send_pizza"},
    {"on_success": "send_pizza", "pipe_target": {"queue_name": "x"}},
    {"time_limit": "never", "max_age": -1, "broker_priority": "high"},
    {"eta": None},
    {"eta": 0},
    {"traceparent": ["x"]},
    {"traceback": "x" * 5000, "requeue_timestamp": None},
]


def test_each_is_set_aside_once_and_neighbours_run_at_once(house: House) -> None:
    group = house.new_group()
    bad = _unreadable(group)
    good: list[str] = []

    def push(redis_id: bytes | str, body: bytes | None) -> None:
        if body is not None:
            house.redis.hset("dramatiq:contacts.msgs", redis_id, body)  # type: ignore[arg-type]
        house.redis.rpush("dramatiq:contacts", redis_id)

    for number, (redis_id, body) in enumerate(bad.values()):
        push(redis_id, body)
        queue, own_id, fine = _contact(group, 1000 + number)
        house.push(queue, own_id, json.dumps(fine))
        good.append(str(fine["message_id"]))
    for number, options in enumerate(IGNORED):
        queue, own_id, fine = _contact(group, 2000 + number)
        fine["options"] |= options
        house.push(queue, own_id, json.dumps(fine))
        good.append(str(fine["message_id"]))

    began = time.monotonic()
    worker = house.worker()
    answers = house.wait_answered(good)
    took = time.monotonic() - began
    assert {event["type"] for events in answers.values() for event in events} == {"coupontools.contact.added"}
    assert all(len(events) == 1 for events in answers.values())
    wait_for(lambda: house.tally()["message.rejected"] >= len(bad), what="the rejections")

    rejected = [event for event in house.events() if event["type"] == "coupontools.message.rejected"]
    by_id = {event["data"]["redis_message_id"]: event for event in rejected}
    assert len(rejected) == len(by_id) == len(bad)
    for name, (redis_id, body) in bad.items():
        event = by_id[redis_id.decode("utf-8", "backslashreplace")]
        data = event["data"]
        assert event["id"] == f"contacts/{data['redis_message_id']}", name
        assert data["queue"] == "contacts", name
        assert data["reason"], name
        assert data["raw"] == (body or b"").decode("utf-8", "replace")[:1000], name
        kept = house.redis.hget("dramatiq:contacts.XQ.msgs", redis_id)  # type: ignore[arg-type]
        assert kept == body, name
    assert (
        house.redis.zcard("dramatiq:contacts.XQ") == len(bad) - 1
    )  # an id without a body leaves nothing to keep
    wait_for(lambda: house.redis.hlen("dramatiq:contacts.msgs") == 0, what="nothing left over")
    assert house.redis.llen("dramatiq:contacts") == 0
    # Setting the bad entries aside must not restart the consumer, which would cost the good ones 3 s each in Dramatiq.
    assert not worker.log_lines("Restarting consumer in 3.00 seconds.")
    wait_for(lambda: len(worker.log_lines("message.rejected")) >= len(bad), what="the lines")
    assert len(worker.log_lines("message.rejected")) == len(bad)
    assert worker.terminate() == 0
    sys_line = f"{len(bad)} sorts of unreadable entries among {len(good)} good ones: all answered {took:.1f} s after the start"
    print(sys_line)  # noqa: T201 - a figure


def test_stock_delayed_entries_that_make_no_sense_are_set_aside(house: House) -> None:
    house.worker()
    bodies: list[tuple[str, str]] = []
    for eta in ("soon", True, 1e300, -1, 10**17):
        _, redis_id, body = _contact("gro_1", len(bodies), queue_name="contacts.DQ")
        body["options"]["eta"] = eta
        bodies.append((redis_id, json.dumps(body)))
    bodies.append((str(uuid.uuid4()), "{"))
    for redis_id, text in bodies:
        house.redis.hset("dramatiq:contacts.DQ.msgs", redis_id, text)
        house.redis.rpush("dramatiq:contacts.DQ", redis_id)
    wait_for(
        lambda: house.tally()["message.rejected"] == len(bodies), what="the rejections", show=house.log_tail
    )
    assert house.redis.zcard("coupontools:delayed:contacts") == 0
    assert house.redis.hlen("dramatiq:contacts.DQ.msgs") == 0


def test_who_waits_for_the_answer_to_an_unreadable_message_gets_it(house: House) -> None:
    """Otherwise a service that misspells an actor would wait in vain for an answer that only the stream has."""
    for kwargs in ({"reply_to": "orders:42"}, {"reply_to": "orders 43"}, {"reply_to": 7}, []):
        queue, own_id, body = _contact("gro_1", 1)
        house.push(queue, own_id, json.dumps(body | {"actor_name": "ad_contact", "kwargs": kwargs}))
    house.worker()
    wait_for(lambda: house.tally()["message.rejected"] == 4, what="the rejections", show=house.log_tail)
    replies = [key.decode() for key in house.redis.scan_iter("coupontools:reply:*")]
    assert replies == ["coupontools:reply:orders:42"]
    (answer,) = house.redis.lrange(replies[0], 0, -1)
    assert json.loads(answer)["data"]["reason"].startswith("there is no actor 'ad_contact'")
