"""What a listing of 500,000 contacts costs the worker: to read back lost calls from it, and to list it page by page.

Run with ``python -m benchmarks.read_back [CONTACTS]``. The aims: memory that does not grow with the group, and no other job of the
process kept waiting for more than 100 ms.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog

from actors.add_contact import AddContact
from actors.list_contacts import ListContacts
from benchmarks.measuring import table
from config.keys import Keys
from coupontools import Call, Coupontools
from delivery import Delivery, Gate, Ledger, LogLine, Policy, Receipt, Task, Unknown
from delivery.retry import Backoff
from sandbox import Sandbox
from workers.embedded import EmbeddedRedis
from workers.redis_link import AsyncRunner, Link, async_client

UNKNOWNS = 1000
MEBIBYTE = 1 << 20


def main(contacts: int = 500_000) -> None:
    """Measure each way in a process of its own, so that one's memory is not the other's."""
    with Sandbox() as sandbox, EmbeddedRedis() as server:
        group_id = str(sandbox.add_groups("sms", name="Large")["group_id"])
        sandbox.add_contacts("sms", group_id, count=contacts)
        small = str(sandbox.add_groups("sms", name="Small")["group_id"])
        sandbox.add_contacts("sms", small, count=1000)
        print(
            f"  {contacts:,} contacts, {_listing_bytes(sandbox, group_id) / MEBIBYTE:.1f} MiB as the API sends them"
        )
        for way in ("read_back", "list_contacts"):
            settings = {
                "url": sandbox.url,
                "client_id": sandbox.config.client_id,
                "client_secret": sandbox.config.client_secret,
                "redis_url": server.url,
                "groups": [small, group_id],
            }
            command = [sys.executable, "-m", "benchmarks.read_back", "--measure", way]
            subprocess.run(command, input=json.dumps(settings), text=True, check=True, timeout=600)


def _listing_bytes(sandbox: Sandbox, group_id: str) -> int:
    address = urlsplit(sandbox.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=120)
    headers = {
        "X-Client-Id": sandbox.config.client_id,
        "X-Client-Secret": sandbox.config.client_secret,
        "Content-Type": "application/json",
    }
    connection.request("POST", "/v3/smstool/userlist", json.dumps({"smsgroup": group_id}), headers)
    response, total = connection.getresponse(), 0
    while part := response.read(MEBIBYTE):
        total += len(part)
    connection.close()
    return total


class Stalls:
    """A task that does nothing but wait for its turn of the loop, as long as every other job has to."""

    longest = 0.0

    async def tick(self) -> None:
        """Run until it is cancelled."""
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self.longest = max(self.longest, now - before)
            before = now


def _forget_peak() -> None:
    # Reset the high-water mark (man 5 proc, so on Linux only). That of getrusage is inherited from the parent.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_kib() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


async def _measure(what: str, steps: Callable[[str], Awaitable[str]], groups: list[str]) -> None:
    # A small group first, so that imports and connections are not counted as a cost of the large one.
    await steps(groups[0])
    _forget_peak()
    memory = _peak_kib()
    wall, cpu, stalls = time.perf_counter(), time.process_time(), Stalls()
    told = await steps(groups[1])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    growth = _peak_kib() - memory
    # Run it again for the stalls: a task that never sleeps takes CPU itself.
    ticker = asyncio.create_task(stalls.tick())
    await steps(groups[1])
    ticker.cancel()
    await asyncio.gather(ticker, return_exceptions=True)
    print(f"  {what}: {told}")
    table(
        [
            ("wall", f"{wall:.1f} s"),
            ("CPU of the worker", f"{cpu:.1f} s"),
            ("peak memory growth", f"{growth / 1024:.1f} MiB"),
            ("longest stall of the loop", f"{stalls.longest * 1000:.0f} ms"),
        ]
    )


async def _read_back(api: Coupontools, group_id: str) -> str:
    job = AddContact.model_validate({"channel": "sms", "group_id": group_id, "phone": "+32470000000"})
    # The sandbox's generated contacts are numbered from some number on; most of these are among them.
    unknowns = [Unknown(f"record {n}", 1, f"447{12_345_678 + 400 * n:09d}", ()) for n in range(UNKNOWNS)]
    words = [verdict.word async for verdict in job.read_back(api, Call(), unknowns, NoLedger())]
    return f"{len(words):,} lost calls, {words.count('found'):,} found, {words.count('absent'):,} absent"


class NoLedger:
    """A ledger that knows nothing about any id."""

    async def claimed(self, channel: str, ids: Iterable[str]) -> set[str]:
        """Never asked."""
        raise LookupError(f"{channel}: {ids}")

    async def doubtful(self, listing: str) -> dict[str, int]:
        """Return no rows."""
        del listing
        return {}

    async def note_doubtful(self, listing: str, ids: list[str]) -> None:
        """Forget the rows."""


@asynccontextmanager
async def _delivery(api: Coupontools, redis_url: str) -> Any:
    policy = Policy(
        timeout=60, cover=120, deadline=3600, read_back_after=15, ttl=3600, rate=0, backoff=Backoff(1, 60),
        events_maxlen=1_000_000,
    )  # fmt: skip
    client = async_client(redis_url)
    runner = AsyncRunner(client, Link())
    try:
        yield client, Delivery(Ledger(runner, Keys(), policy), api, Gate(64), policy, LogLine())
    finally:
        await runner.close()


async def _list_contacts(client: Any, delivery: Delivery, group_id: str) -> str:
    keys, entry = Keys().queue("reads"), str(uuid.uuid4())
    acks = Keys().acks("benchmark", "reads")
    await client.delete(Keys().events)
    await client.hset(keys.bodies, entry, "{}")
    await client.sadd(acks, entry)
    receipt = Receipt(
        id=entry, acks=acks, bodies=keys.bodies, delayed=keys.delayed, dead=keys.dead,
        dead_bodies=keys.dead_bodies, dead_reasons=keys.dead_reasons, release=lambda: None,
    )  # fmt: skip
    task = Task(
        job=ListContacts.model_validate({"channel": "sms", "group_id": group_id, "idempotency_key": entry}),
        receipt=receipt,
        message_id=entry,
        since=round(time.time() * 1000),
        queue="reads",
        patience=3600,
    )
    await delivery.deliver(task)
    return f"{await client.xlen(Keys().events):,} events"


async def _in_process(way: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    settings = json.load(sys.stdin)
    async with Coupontools(
        base_url=settings["url"],
        client_id=settings["client_id"],
        client_secret=settings["client_secret"],
        timeout=60,
    ) as api:
        if way == "read_back":
            await _measure("read back", lambda group_id: _read_back(api, group_id), settings["groups"])
            return
        async with _delivery(api, settings["redis_url"]) as (client, delivery):
            await _measure(
                "list_contacts, from the claim to the last event",
                lambda group_id: _list_contacts(client, delivery, group_id),
                settings["groups"],
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        asyncio.run(_in_process(sys.argv[2]))
    else:
        main(*map(int, sys.argv[1:2]))
