"""Which messages of a queue a process has in hand: those it accepts, postpones, sets aside and hands back."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.keys import Keys
from delivery import MOST_DEATHS
from tests.harness.still_clock import NOW, StillClock
from workers.broker.hands import ALONE_FROM, LONGEST_ENTRY, Hands, _reason_of
from workers.broker.places import Places

KEYS = Keys()
READS = KEYS.queue("reads")
ACKS = KEYS.acks("w1", "reads")


@pytest.fixture
def home(still: StillClock) -> Any:
    told: list[str] = []
    return SimpleNamespace(
        broker_id="w1",
        keys=KEYS,
        client=still.redis,
        events_maxlen=1000,
        homes={"list_groups": ("reads",)},
        places=Places(8),
        epochs=itertools.count(1),
        on_set_aside=told.append,
        told=told,
    )


@pytest.fixture
def hands(home: Any) -> Hands:
    return Hands(home, "reads")


def body(entry_id: str = "a", **fields: Any) -> bytes:
    options = {"redis_message_id": entry_id, **fields.pop("options", {})}
    told = {
        "queue_name": "reads",
        "actor_name": "list_groups",
        "args": [],
        "kwargs": {},
        "message_id": f"m-{entry_id}",
    }
    return json.dumps({**told, "options": options, "message_timestamp": 50, **fields}).encode()


def outstanding(still: StillClock, *ids: str) -> None:
    for each in ids:
        still.redis.sadd(ACKS, each)
        still.redis.hset(READS.bodies, each, body(each))


def test_what_is_accepted_is_in_hand_until_it_is_released(still: StillClock, home: Any, hands: Hands) -> None:
    room = home.places.room("contacts")
    message = hands.accept(b"a", body(), 100, 2)
    assert message is not None
    receipt = message.receipt
    assert (receipt.id, receipt.acks, receipt.bodies, receipt.delayed) == (
        "a",
        ACKS,
        READS.bodies,
        READS.delayed,
    )
    assert (receipt.dead, receipt.dead_bodies, receipt.dead_reasons) == (
        READS.dead,
        READS.dead_bodies,
        READS.dead_reasons,
    )
    assert (receipt.deaths, len(hands), home.places.room("contacts")) == (2, 1, room - 1)
    # If the message is fetched again, it takes no second place, and its first receipt releases nothing any more.
    again = hands.accept(b"a", body(), 100)
    assert again is not None
    assert (len(hands), home.places.room("contacts")) == (1, room - 1)
    receipt.release()
    assert (len(hands), home.places.room("contacts")) == (1, room - 1)
    for _ in range(2):
        again.receipt.release()
        assert (len(hands), home.places.room("contacts")) == (0, room)


@pytest.mark.parametrize(("eta", "due"), [(NOW - 1, False), (NOW, False), (NOW + 1, True)])
def test_what_is_not_due_yet_waits_in_redis(still: StillClock, hands: Hands, eta: int, *, due: bool) -> None:
    outstanding(still, "a")
    message = hands.accept(b"a", body(options={"eta": eta}), NOW)
    assert (message is None) is due
    assert still.all().get(READS.delayed) == ({"a": eta} if due else None)
    if message:
        # The delay does not spend the deadline, and Dramatiq does not see the delay.
        assert (message.message_timestamp, "eta" in message.options) == (eta, False)
        # Whether the message's batch was cancelled depends on when the message was sent.
        assert message.receipt.sent == json.loads(body())["message_timestamp"]


def test_a_delay_that_was_over_when_it_was_sent_counts_for_nothing(hands: Hands) -> None:
    message = hands.accept(b"a", body(options={"eta": NOW - 7}, message_timestamp=NOW), NOW + 1)
    assert message is not None
    assert (message.message_timestamp, message.receipt.deaths) == (NOW, 0)


def test_a_message_without_a_delay_keeps_its_time_whatever_that_is(hands: Hands) -> None:
    message = hands.accept(b"a", body(message_timestamp=0), 0)
    assert message is not None
    assert message.message_timestamp == 0


@pytest.mark.parametrize(
    ("entry_id", "told", "deaths", "reason"),
    [
        (b"a", b"{nothing", 0, "the message is not JSON: "),
        (b"a", None, 0, "there is no message under this id"),
        (b"a", LONGEST_ENTRY + 1, 0, "the entry has 1,048,577 bytes; a job has at most 1,048,576"),
        (b"a", body(), MOST_DEATHS + 1, f"{MOST_DEATHS + 1} workers died while they had this message"),
        (b"\xff", body(), 0, "the id is not UTF-8"),
    ],
)
def test_what_is_no_job_is_set_aside_and_told(
    still: StillClock, home: Any, hands: Hands, entry_id: bytes, told: Any, deaths: int, reason: str
) -> None:
    still.redis.sadd(ACKS, entry_id)
    still.redis.hset(READS.bodies, entry_id, "kept")
    with capture_logs() as lines:
        assert hands.accept(entry_id, told, 100, deaths) is None
    assert len(hands) == 0
    client: Any = still.redis
    assert client.hgetall(READS.dead_bodies) == {entry_id: b"kept"}
    kept = json.loads(client.hget(READS.dead_reasons, entry_id))
    assert kept["message"].startswith(reason)
    assert kept["message_id"] == ("m-a" if told == body() else "")
    [entry] = still.all()[KEYS.events]
    event = json.loads(entry["event"])
    name = "\\xff" if entry_id == b"\xff" else "a"
    assert (entry["type"], event["id"]) == ("coupontools.message.rejected", f"reads/{name}")
    assert event["data"]["reason"].startswith(reason)
    assert not client.exists(ACKS, READS.bodies)
    assert home.told == ["reads"]
    assert [(line["event"], line["queue"], line["redis_message_id"]) for line in lines] == [
        ("message.rejected", "reads", name)
    ]


@pytest.mark.parametrize(
    ("deaths", "alone"), [(ALONE_FROM - 1, False), (ALONE_FROM, True), (MOST_DEATHS, True)]
)
def test_what_is_tried_alone_is_told(hands: Hands, deaths: int, *, alone: bool) -> None:
    with capture_logs() as lines:
        assert hands.accept(b"a", body(), 100, deaths) is not None
    assert [(line["event"], line["message_id"], line["deaths"]) for line in lines] == (
        [("message.tried_alone", "m-a", deaths)] if alone else []
    )


def test_what_a_lost_reply_left_behind_goes_back_and_the_rest_stays(still: StillClock, hands: Hands) -> None:
    outstanding(still, "mine", "lost")
    hands.accept(b"mine", body("mine"), 100)
    before = hands.epoch
    assert hands.give_back_others() == 1
    found = still.all()
    assert (found[READS.ready], found[ACKS], len(hands)) == (["lost"], {"mine"}, 1)
    # A fetch that was sent earlier takes nothing any more.
    assert hands.epoch > before
    assert found[hands.epoch_key] == str(hands.epoch)


def test_at_the_end_everything_goes_back_in_its_old_order_and_is_let_go(
    still: StillClock, home: Any, hands: Hands
) -> None:
    room = home.places.room("contacts")
    for each in ("b", "a", "c"):
        outstanding(still, each)
        assert hands.accept(each.encode(), body(each), 100)
    outstanding(still, "lost")
    hands.give_back_all()
    found = still.all()
    assert found[READS.ready] == ["b", "a", "c", "lost"]
    assert ACKS not in found
    assert (len(hands), home.places.room("contacts")) == (0, room)


@pytest.mark.parametrize(
    ("body", "message_id", "job"),
    [
        (b'{"message_id":"m-1","actor_name":"add_contact"}', "m-1", "add_contact"),
        (b'{"message_id":7,"actor_name":["x"]}', "", ""),
        (b"{}", "", ""),
        (b"[1]", "", ""),
        (b"{nothing", "", ""),
        (b"", "", ""),
        (None, "", ""),
    ],
)
def test_why_an_entry_was_set_aside_names_it_where_it_can_be_read(
    body: bytes | None, message_id: str, job: str
) -> None:
    told = json.loads(_reason_of(body, "no job"))
    assert told.pop("died_at")
    assert told == {
        "message_id": message_id,
        "job": job,
        "kind": "unreadable",
        "code": None,
        "message": "no job",
    }
