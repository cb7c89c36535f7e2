"""What a worker may find when it registers: names that are free, a dead pair's or another's; a form that it reads or not; a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from config.keys import Keys
from tests.harness.still_clock import StillClock
from workers.broker import DurableBroker
from workers.broker.enrolment import Enrolment, Refused

#: What Redis's clock shows, in milliseconds.
AT = 1_800_000_000_789
#: The pairs that may have one of our names: another prefix on our namespace, or another namespace under our prefix.
OTHER_PREFIX, OTHER_NAMESPACE = Keys(prefix="theirs"), Keys(namespace="theirs")


@pytest.fixture
def broker(still: StillClock, make_broker: Callable[[str], DurableBroker]) -> DurableBroker:
    port = still.redis.connection_pool.connection_kwargs["port"]
    return make_broker(f"redis://127.0.0.1:{port}/0")


@pytest.fixture
def enrolment(still: StillClock, broker: DurableBroker, monkeypatch: pytest.MonkeyPatch) -> Enrolment:
    monkeypatch.setattr(still.redis, "time", lambda: divmod(AT * 1000, 1_000_000))
    monkeypatch.setattr(broker, "client", still.redis)
    broker.about = b'{"silence_ms":1000}'
    return Enrolment(broker)


def put(still: StillClock, keys: Keys, name: str, seen: float, about: Any) -> None:
    still.redis.zadd(keys.heartbeats, {name: seen})
    still.redis.hset(keys.workers, name, about if isinstance(about, str) else json.dumps(about))


def test_a_worker_that_is_the_first_takes_the_names_and_the_newest_form(
    still: StillClock, broker: DurableBroker, enrolment: Enrolment
) -> None:
    assert broker.form == 1, "before it has looked it writes what all releases read"
    enrolment.begin()
    found, keys = still.all(), broker.keys
    assert (found[keys.prefix_of], found[keys.namespace_of], found[keys.format]) == (
        keys.prefix,
        keys.namespace,
        "3",
    )
    assert found[keys.workers] == {broker.broker_id: '{"silence_ms":1000}'}
    assert found[keys.heartbeats].keys() == {broker.broker_id}
    assert broker.form == 3
    still.redis.delete(keys.workers)
    broker.form = 1
    enrolment.renew()
    assert (broker.form, still.all()[keys.workers].keys()) == (3, {broker.broker_id})


@pytest.mark.parametrize(("stored", "fits"), [("0", False), ("1", True), ("3", True), ("4", False)])
def test_what_is_stored_in_a_form_of_another_release_is_left_to_it(
    still: StillClock, broker: DurableBroker, enrolment: Enrolment, stored: str, *, fits: bool
) -> None:
    still.redis.set(broker.keys.format, stored)
    if fits:
        enrolment.begin()
        return
    with pytest.raises(Refused, match=f"has form {stored}, as the key .*; this release reads 1 to 3"):
        enrolment.begin()
    assert broker.keys.workers not in still.all()


def test_a_worker_of_another_account_refuses_who_starts_and_not_who_was_there_first(
    still: StillClock, broker: DurableBroker, enrolment: Enrolment
) -> None:
    put(still, broker.keys, "w2", AT * 2, {"account": "theirs", "silence_ms": 1000})
    with pytest.raises(Refused, match="worker w2 works for another account"):
        enrolment.begin()
    enrolment.renew()
    assert broker.broker_id in still.all()[broker.keys.workers]


@pytest.mark.parametrize("theirs", [OTHER_PREFIX, OTHER_NAMESPACE], ids=["prefix", "namespace"])
def test_names_of_a_pair_that_is_dead_and_has_no_work_are_taken_over(
    still: StillClock, broker: DurableBroker, enrolment: Enrolment, theirs: Keys
) -> None:
    still.redis.set(theirs.prefix_of, theirs.prefix)
    still.redis.set(theirs.namespace_of, theirs.namespace)
    # A silent worker, some that do not say when they count as dead, and one without a heartbeat.
    put(still, theirs, "silent", AT - 1000, {"silence_ms": 1000})
    put(still, theirs, "strange", AT, "no JSON")
    put(still, theirs, "odd", AT, '{"silence_ms":null}')
    put(still, theirs, "mute", AT, "{}")
    still.redis.hset(theirs.workers, "unheard", '{"silence_ms":1000}')
    still.redis.zadd(theirs.heartbeats, {"a stock broker": AT + 5})
    enrolment.begin()
    found = still.all()
    assert (found[broker.keys.prefix_of], found[broker.keys.namespace_of]) == (
        broker.keys.prefix,
        broker.keys.namespace,
    )
    assert broker.broker_id in found[broker.keys.workers]


@pytest.mark.parametrize("theirs", [OTHER_PREFIX, OTHER_NAMESPACE], ids=["prefix", "namespace"])
@pytest.mark.parametrize("what", ["a worker", "the oldest worker", "a message", "a delayed message"])
def test_names_under_which_a_worker_lives_or_work_waits_are_not_taken(
    still: StillClock, broker: DurableBroker, enrolment: Enrolment, theirs: Keys, what: str
) -> None:
    still.redis.set(theirs.prefix_of, theirs.prefix)
    still.redis.set(theirs.namespace_of, theirs.namespace)
    queue = theirs.queue("reads")
    if what == "a message":
        still.redis.hset(queue.bodies, "a", "{}")
    elif what == "a delayed message":
        still.redis.hset(queue.stock_delayed_bodies, "a", "{}")
    else:
        put(still, theirs, "w2", AT - 999, {"silence_ms": 1000})
    if what == "the oldest worker":
        put(still, theirs, "w3", AT + 5, "{}")
    before = still.all()
    named = f"the key .* names {theirs.namespace} and {theirs.prefix}, where a worker lives or work waits"
    with pytest.raises(Refused, match=f"BROKER_NAMESPACE, KEY_PREFIX: .*{named}"):
        enrolment.begin()
    assert still.all() == before


@pytest.mark.parametrize("owner", [None, "a third"])
def test_a_namespace_that_has_gone_to_another_prefix_since_is_no_reason(
    still: StillClock, broker: DurableBroker, enrolment: Enrolment, owner: str | None
) -> None:
    """The work that waits under that namespace belongs to the third pair."""
    theirs = OTHER_NAMESPACE
    still.redis.set(theirs.namespace_of, theirs.namespace)
    if owner:
        still.redis.set(theirs.prefix_of, owner)
    still.redis.hset(theirs.queue("reads").bodies, "a", "{}")
    enrolment.begin()
    assert still.all()[broker.keys.namespace_of] == broker.keys.namespace


def test_where_it_may_not_look_it_takes_no_names(
    still: StillClock, enrolment: Enrolment, monkeypatch: pytest.MonkeyPatch
) -> None:
    still.redis.set(OTHER_PREFIX.prefix_of, OTHER_PREFIX.prefix)

    def denied(*_: Any, **__: Any) -> None:
        raise NoPermissionError("NOPERM")

    monkeypatch.setattr(still.redis, "get", denied)
    with pytest.raises(Refused, match="do not belong together"):
        enrolment.begin()


@pytest.mark.parametrize(("mode", "refused"), [("standalone", False), ("sentinel", False), ("cluster", True)])
def test_only_a_cluster_is_refused(
    still: StillClock, broker: DurableBroker, enrolment: Enrolment, monkeypatch: pytest.MonkeyPatch, mode: str,
    *, refused: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(still.redis, "info", lambda _: {"redis_mode": mode})
    if refused:
        with pytest.raises(Refused, match="cluster mode"):
            enrolment.begin()
        # Only the start asks for the mode: it does not change while a worker runs.
        enrolment.renew()
    else:
        enrolment.begin()
    assert (broker.keys.workers in still.all()) is True


def test_who_may_not_ask_for_the_mode_goes_on(
    still: StillClock, broker: DurableBroker, enrolment: Enrolment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: str) -> None:
        raise NoPermissionError("NOPERM")

    monkeypatch.setattr(still.redis, "info", denied)
    enrolment.begin()
    assert broker.broker_id in still.all()[broker.keys.workers]


def test_names_that_others_take_again_and_again_are_left_to_them(
    broker: DurableBroker, enrolment: Enrolment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that goes on without being registered would be taken for dead, and its jobs would be taken over."""
    looks: list[str] = []

    def run(dead_prefix: str, _: str, **__: Any) -> list[bytes]:
        looks.append(dead_prefix)
        return [b"namespace", b"other %d" % len(looks)]

    monkeypatch.setattr(enrolment, "_run", run)
    with pytest.raises(Refused, match="take dramatiq and coupontools again and again"):
        enrolment.renew()
    # Each pair was found dead, and then the next one had taken the names.
    assert looks == ["", "other 1", "other 2", "other 3", "other 4"]
