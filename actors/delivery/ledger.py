"""The ledger: one record per actor and idempotency key, claimed before any byte leaves and settled with the answer.

::

    absent --claim--> running --settle--> done        outcome kept; event written in the same script
                        |  \\--not sent / refused for now--> waiting     (safe to call again)
                        |  \\--may have happened-----------> unknown     (read back before any further call)
                        \\--refused for good---------------> absent      (failed event, dead letter, key is free)
    a running record whose lease ran out (its worker died) counts as unknown
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from actors.delivery.kind import Unknown, Verdict
from actors.delivery.policy import (
    HORIZON_MS,
    LISTING_HORIZON_MS,
    OUTAGE_THRESHOLD,
    URGENT_HORIZON_MS,
    Policy,
)
from actors.delivery.receipt import Receipt
from actors.delivery.replies import Claim, Settled, read_claim
from actors.delivery.scripts import ScriptRunner, load_scripts
from actors.delivery.task import Task, short_digest
from config.keys import Keys

__all__ = ["Ledger", "listing_of"]

SCRIPTS = load_scripts(Path(__file__).parent / "lua")
#: Records that one listing looks for at most; the next listing takes the rest.
UNKNOWNS_AT_ONCE = 20_000
VERDICTS_AT_ONCE = 500
#: How long a record is kept at least that is not settled: longer than a hold is likely to last.
UNSETTLED_SECONDS = 90 * 86400.0
#: And one that is settled as unknown: longer than its dead letter, which must be read back when it is sent again.
KEPT_UNKNOWN_SECONDS = 8 * 86400.0


class Ledger:
    """The scripts of this folder, typed. Every method waits for Redis as long as it is away."""

    def __init__(self, runner: ScriptRunner, keys: Keys, policy: Policy) -> None:
        self._runner = runner
        self._keys = keys
        self._policy = policy

    def record(self, task: Task) -> str:
        """The key of the task's record."""
        return self._keys.record(task.job.actor, task.digest)

    async def claim(self, task: Task, token: str) -> Claim:
        """May this job call the API now?"""
        keys, policy, receipt = self._keys, self._policy, task.receipt
        record = self.record(task)
        listing = listing_of(task)
        arguments = {
            "id": receipt.id,
            "token": token,
            "fingerprint": task.fingerprint,
            "derived": task.derived,
            "asked": task.asked,
            "effect": task.kind.effect,
            "named": task.kind.named,
            "since": task.since,
            "deadline": task.deadline,
            "cover": round(policy.cover * 1000),
            "life": self._life(task),
            "ttl": round(policy.ttl * 1000),
            "interval": policy.interval_us,
            "horizon": URGENT_HORIZON_MS if task.kind.urgent else HORIZON_MS,
            "read_back_after": round(policy.read_back_after * 1000),
            "needle": task.kind.needle(task.job) if task.kind.effect else "",
        }
        answer = await self._runner.run(
            SCRIPTS["claim"],
            [
                record,
                keys.answered(task.message_id),
                receipt.acks,
                receipt.bodies,
                receipt.delayed,
                keys.pace,
                keys.hold("account"),
                keys.hold(task.job.scope),
                keys.held("account"),
                keys.held(task.job.scope),
                keys.unknown(listing),
                keys.reader(listing),
                self._name_lock(task),
                keys.pages(task.job.actor, task.digest),
            ],
            [orjson.dumps(arguments)],
        )
        return read_claim(answer)

    async def settle(self, task: Task | None, op: str, token: str, **arguments: Any) -> Settled:
        """Writes what came of a claim: ``op`` and ``arguments`` as settle.lua has them.

        ``task`` is None for a call that is no job's own; then only its signal counts.
        """
        keys = self._keys
        receipt = task.receipt if task else _NO_RECEIPT
        scope = task.job.scope if task else arguments.pop("channel", "account")
        # A job that was never claimed touches no record; its arguments may not even be readable.
        owner = task if task and arguments.get("owned", True) else None
        listing = listing_of(owner) if owner else "none"
        given = {
            "op": op,
            "id": receipt.id,
            "token": token,
            "owned": True,
            "fingerprint": task.fingerprint if task else "",
            "asked": task.asked if task else "",
            "effect": owner.kind.effect if owner else False,
            "needle": owner.kind.needle(owner.job) if owner and owner.kind.effect else "",
            "ttl": round(self._policy.ttl * 1000),
            "life": self._life(task) if task else 0,
            "kept": round(max(self._policy.ttl, KEPT_UNKNOWN_SECONDS) * 1000),
            "cover": round(self._policy.cover * 1000),
            "maxlen": self._policy.events_maxlen,
            "events": [],
            "read_back_after": round(self._policy.read_back_after * 1000),
            "threshold": OUTAGE_THRESHOLD,
            "signal": "",
            "scope": "account",
            "took": 0,
            "pause": 0,
            "delay": 0,
            "due_by": task.deadline if task else 0,
        }
        # Lua takes JSON's null for a value, so what is not given is left out.
        given |= {name: value for name, value in arguments.items() if value is not None}
        answer = await self._runner.run(
            SCRIPTS["settle"],
            [
                self.record(task) if task else "",
                keys.answered(task.message_id if task else ""),
                receipt.acks,
                receipt.bodies,
                receipt.delayed,
                receipt.dead,
                receipt.dead_bodies,
                receipt.dead_reasons,
                keys.events,
                keys.unknown(listing),
                self._name_lock(owner) if owner else "",
                self._claimed(owner),
                keys.pace,
                keys.hold("account"),
                keys.hold(scope),
                keys.held("account"),
                keys.held(scope),
                keys.outage,
                keys.pages(task.job.actor, task.digest) if task else "",
            ],
            [orjson.dumps(given)],
        )
        word, began, ended = answer
        return Settled(word == b"ok", word == b"used", began == b"1", tuple(ended.decode().split()))

    async def note_baseline(self, task: Task, token: str, baseline: list[str]) -> float:
        """Notes what must not be taken for the job's effect. Answers the new lease in milliseconds, 0 if it was lost."""
        answer = await self._runner.run(
            SCRIPTS["note"],
            [self.record(task)],
            [token, orjson.dumps(baseline), round(self._policy.cover * 1000)],
        )
        return float(answer)

    async def keep(self, task: Task, token: str) -> float:
        """Lets a listing go on holding what it holds. Answers the new lease in milliseconds, 0 if it was lost."""
        listing = listing_of(task)
        cover = round(self._policy.cover * 1000)
        answer = await self._runner.run(
            SCRIPTS["keep"],
            [self.record(task), self._keys.reader(listing)],
            [token, cover],
        )
        return float(answer)

    async def reserve(self) -> tuple[float, bool]:
        """A slot of the pace: milliseconds to wait, and whether the slot is reserved (else ask again then)."""
        wait, again = await self._runner.run(
            SCRIPTS["reserve"], [self._keys.pace], [self._policy.interval_us, LISTING_HORIZON_MS]
        )
        return float(wait), not again

    async def unknowns(self, listing: str) -> tuple[int, list[Unknown]]:
        """Redis's time in milliseconds, and the records that wait for this listing."""
        now, *rows = await self._runner.run(
            SCRIPTS["unknowns"], [self._keys.unknown(listing)], [UNKNOWNS_AT_ONCE]
        )
        found = [
            Unknown(record.decode(), int(ended), needle.decode(), tuple(orjson.loads(baseline or b"[]")))
            for record, ended, needle, baseline in zip(*[iter(rows)] * 4, strict=True)
        ]
        return int(now), found

    async def judge(
        self, listing: str, token: str, verdicts: list[Verdict], *, rest: float, again: float, seldom: float
    ) -> None:
        """Writes what a listing told.

        ``rest`` seconds pass before the next listing of it, ``again`` before the undecided ask again: twice as long each time, up to
        ``seldom``.
        """
        keys = [self._keys.unknown(listing), self._keys.reader(listing)]
        for start in range(0, len(verdicts) or 1, VERDICTS_AT_ONCE):
            arguments: list[Any] = [token, *(round(seconds * 1000) for seconds in (rest, again, seldom))]
            for verdict in verdicts[start : start + VERDICTS_AT_ONCE]:
                arguments += [
                    verdict.unknown.record,
                    verdict.unknown.ended,
                    verdict.word,
                    orjson.dumps(verdict.evidence),
                ]
            await self._runner.run(SCRIPTS["verdicts"], keys, arguments)

    async def pages(self, task: Task) -> list[bytes]:
        """The remembered pages of a listing."""
        key = self._keys.pages(task.job.actor, task.digest)
        pages: list[bytes] = await self._runner.command("LRANGE", key, 0, -1)
        return pages

    async def claimed(self, channel: str, name: str) -> set[str]:
        """Group ids of this name that are some job's answer already."""
        members = await self._runner.command("SMEMBERS", self._keys.claimed(channel, short_digest(name)))
        return {member.decode() for member in members}

    async def body(self, task: Task) -> bytes:
        """The message as it was enqueued; empty when it is not there any more."""
        return await self._runner.command("HGET", task.receipt.bodies, task.receipt.id) or b""

    def _life(self, task: Task) -> int:
        # What is not settled must outlive the message that it belongs to, in whatever hold that waits.
        return round((max(self._policy.ttl, UNSETTLED_SECONDS) + task.patience) * 1000)

    def _name_lock(self, task: Task) -> str:
        if not task.kind.named:
            return ""
        return self._keys.name_lock(task.job.scope, short_digest(task.kind.name(task.job)))

    def _claimed(self, task: Task | None) -> str:
        if task is None or not task.kind.named:
            return ""
        return self._keys.claimed(task.job.scope, short_digest(task.kind.name(task.job)))


def listing_of(task: Task) -> str:
    """Names the listing that tells of the task's lost call, for jobs of its kind: two kinds may read one listing with different eyes."""
    return f"{task.job.actor}:{task.kind.listing(task.job)}" if task.kind.effect else "none"


_NO_RECEIPT = Receipt("", "", "", "", "", "", "", release=lambda: None)
