"""The reply of a script is lost after Redis ran it: no job is lost, doubled or stuck."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from delivery.scripts import SCRIPTS as DELIVERY
from delivery.scripts import Script
from tests.harness import House, wait_for
from tests.harness.fetching import fetch_keys
from tests.harness.redis_proxy import RedisProxy
from workers.broker import DurableBroker
from workers.broker.scripts import SCRIPTS as BROKER
from workers.state import QUEUES


@pytest.fixture
def proxy(house: House) -> Iterator[RedisProxy]:
    with RedisProxy(house.server.port) as proxy:
        yield proxy


def _request(script: Script, first_key: str, keys: int) -> str:
    """Return how the request for this script with this first key looks on the wire."""
    return f"{script.sha}\r\n${len(str(keys))}\r\n{keys}\r\n${len(first_key)}\r\n{first_key}\r\n"


def _marks() -> dict[str, str]:
    ready = "dramatiq:contacts"
    return {
        "fetch": _request(BROKER["fetch"], ready, len(fetch_keys("contacts", "w1")) + len(QUEUES) - 1),
        "claim": DELIVERY["claim"].sha,
        "settle": DELIVERY["settle"].sha,
        "tend": BROKER["tend"].sha,
    }


def test_of_each_script_of_a_worker(house: House, proxy: RedisProxy) -> None:
    group = house.new_group()
    worker = house.worker("--concurrency", "8", REDIS_URL=proxy.url)
    # Send a first job, so that Redis knows the scripts and the dropped reply is not NOSCRIPT.
    house.answer(house.enqueue("add_contact", channel="sms", group_id=group, phone="+3247999999"))
    ids: list[str] = []
    for turn, (name, mark) in enumerate(_marks().items()):
        for again in range(3):
            dropped = proxy.dropped
            proxy.drop_reply_to(mark)
            ids += house.enqueue_many(
                "add_contact",
                [
                    {"channel": "sms", "group_id": group, "phone": f"+3247{turn}{again}{number:05d}"}
                    for number in range(6)
                ],
            )
            wait_for(lambda before=dropped: proxy.dropped > before, what=f"a lost reply of {name}")
        answers = house.wait_answered(ids)
        assert all(len(events) == 1 for events in answers.values()), name
    _nothing_left(house)
    assert proxy.dropped == 3 * len(_marks())
    assert house.tally() == {"contact.added": len(ids) + 1}
    assert house.counts()["surplus_contacts"] == 0
    # The messages of a lost fetch were outstanding although the worker did not know them: it asked, and put them back.
    assert worker.wait_lines("queue.reconciled")
    assert worker.terminate() == 0


def test_of_setting_aside_and_of_handing_back(house: House, proxy: RedisProxy) -> None:
    house.sandbox.faults("slow", endpoint="sms/addcontact", seconds=20)
    worker = house.worker("--concurrency", "2", REDIS_URL=proxy.url, SHUTDOWN_SECONDS=1)
    house.push("contacts", "first", "{")
    wait_for(lambda: house.tally()["message.rejected"] == 1, what="a rejection")
    proxy.drop_reply_to(BROKER["set_aside"].sha)
    house.push("contacts", "second", "{")
    wait_for(lambda: house.tally()["message.rejected"] == 2, what="the second rejection")
    group = house.new_group()
    ids = house.enqueue_many(
        "add_contact",
        [{"channel": "sms", "group_id": group, "phone": f"+3247{number:07d}"} for number in range(6)],
    )
    wait_for(lambda: len(house.sandbox.requests()) >= 2, what="calls in flight")
    proxy.drop_reply_to(_request(BROKER["hand_back"], "dramatiq:contacts", 4))
    assert worker.terminate() == 0
    assert house.tally() == {"message.rejected": 2}
    house.sandbox.clear_faults()
    # The worker did not learn whether its messages were handed back: they are on the queue, or are taken over.
    house.worker(WORKER_HEARTBEAT_SECONDS=1)
    answers = house.wait_answered(ids)
    assert all(len(events) == 1 for events in answers.values())
    assert house.counts()["surplus_contacts"] == 0
    _nothing_left(house)


def test_of_an_enqueue(house: House, proxy: RedisProxy, make_broker: Callable[[str], DurableBroker]) -> None:
    actor = make_broker(proxy.url).get_actor("list_groups")
    actor.send(channel="sms")
    for turn in range(3):
        proxy.drop_reply_to(BROKER["enqueue"].sha)
        actor.send(channel="sms", idempotency_key=str(turn))
    assert proxy.dropped == 3
    assert house.redis.llen("dramatiq:reads") == house.redis.hlen("dramatiq:reads.msgs") == 4
    proxy.drop_reply_to(BROKER["enqueue"].sha)
    actor.send_with_options(kwargs={"channel": "email"}, delay=3_600_000)
    assert house.redis.zcard("coupontools:delayed:reads") == 1


def _nothing_left(house: House) -> None:
    wait_for(
        lambda: house.redis.hlen("dramatiq:contacts.msgs") == 0, what="nothing left over", show=house.log_tail
    )
    wait_for(
        lambda: (
            not any(
                house.redis.scard(f"dramatiq:__acks__.{worker.decode()}.contacts")
                for worker in house.redis.zrange("dramatiq:__heartbeats__", 0, -1)
            )
        ),
        what="nothing outstanding",
    )
    assert house.redis.llen("dramatiq:contacts") == 0
    assert house.redis.zcard("coupontools:delayed:contacts") == 0
