"""REDIS_WAIT_REPLICAS, with a real replica: nothing is sent that a failover would forget."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import time

from delivery import Script
from sandbox import Sandbox
from tests.harness import House, wait_for
from workers.embedded import EmbeddedRedis
from workers.redis_link import AsyncRunner, Link, async_client


def test_nothing_is_sent_before_a_replica_has_the_claim(_sandbox: Sandbox) -> None:  # noqa: PT019 - its value is used
    _sandbox.reset(settings=True)
    with (
        EmbeddedRedis() as master,
        EmbeddedRedis("--replicaof", "127.0.0.1", str(master.port)) as replica,
        House(master, _sandbox) as house,
    ):
        wait_for(lambda: house.redis.info("replication")["connected_slaves"] == 1, what="the replica")
        group = house.new_group()
        worker = house.worker(REDIS_WAIT_REPLICAS=1, WORKER_HEARTBEAT_SECONDS=2)
        ids = [house.enqueue("add_contact", channel="sms", group_id=group, phone="+32470000000")]
        house.wait_answered(ids)
        sent = len(house.sandbox.requests())
        # On a machine that is busy, the replica may have been late for the first one, too.
        told = len(worker.log_lines("redis.unavailable"))
        assert replica.process
        replica.process.send_signal(signal.SIGSTOP)
        ids += house.enqueue_many(
            "add_contact",
            [{"channel": "sms", "group_id": group, "phone": f"+3247{n:07d}"} for n in range(1, 50)],
        )
        wait_for(
            lambda: len(worker.log_lines("redis.unavailable")) > told,
            what="its complaint",
            show=house.log_tail,
        )
        told_at = time.monotonic()
        # Long enough for several looks: nothing but time shows that nothing is sent.
        wait_for(lambda: time.monotonic() - told_at > 3, what="some looks")
        assert len(house.sandbox.requests()) == sent
        line = worker.log_lines("redis.unavailable")[-1]
        assert line["error"].endswith("replicas that have the claim: 0; REDIS_WAIT_REPLICAS: 1")
        # Several heartbeats have passed, and each of them told it.
        why = "replicas that have the claim: 0; REDIS_WAIT_REPLICAS: 1"
        [about] = house.redis.hvals("coupontools:workers")
        assert why in json.loads(about)["without"]
        assert why in " ".join(house.run("status").stdout.split())
        assert why in house.run("check", "--any-host").stderr
        replica.process.send_signal(signal.SIGCONT)
        answers = house.wait_answered(ids)
        assert {event["type"] for [event] in answers.values()} == {"coupontools.contact.added"}
        assert house.counts()["surplus_contacts"] == 0
        wait_for(
            lambda: len(worker.log_lines("redis.recovered")) > told,
            what="redis.recovered",
            show=house.log_tail,
        )
        assert worker.terminate() == 0


def test_a_job_that_calls_nothing_needs_no_replica(house: House) -> None:
    worker = house.worker(REDIS_WAIT_REPLICAS=1)
    message = house.enqueue("add_contact", channel="sms", group_id="no group", phone="+32470000000")
    assert house.answer(message)["data"]["error"]["kind"] == "invalid"
    assert worker.terminate() == 0


async def test_what_travels_beside_a_claim_that_no_replica_has_is_answered(house: House) -> None:
    """An empty list among the replies ended all jobs of the batch as a fault of ours."""
    runner = AsyncRunner(async_client(house.server.url), Link(), replicas=1)
    source = "return { 'call', KEYS[1] }"
    claim = Script("claim", source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
    try:
        claimed = asyncio.ensure_future(runner.run(claim, ["none"], []))
        others = asyncio.gather(
            runner.command("HKEYS", "none"),
            runner.command("GET", "none"),
            runner.command("HSET", "none", "a", "1"),
        )
        assert await asyncio.wait_for(others, 60) == [[], None, 1]
        assert not claimed.done()
        claimed.cancel()
    finally:
        await runner.close()
