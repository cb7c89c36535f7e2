"""The ledger: one record per actor and idempotency key, claimed before any byte leaves and settled with the answer.

::

    absent --claim--> running --settle--> done        outcome kept; event written in the same script
                        |  \\--not sent / refused for now--> waiting     (safe to call again)
                        |  \\--may have happened-----------> unknown     (read back before any further call)
                        \\--refused for good---------------> absent      (failed event, dead letter, key is free)
    a running record whose lease ran out (its worker died) counts as unknown
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from config.keys import Keys
from delivery.answer import SMALL_FORM
from delivery.batches import batch_key
from delivery.claim import Claim
from delivery.policy import OUTAGE_THRESHOLD, Policy
from delivery.scripts import SCRIPTS, ScriptRunner
from delivery.settlement import Changes, Done, Settled, Settlement, Signal
from delivery.shares import LANES
from delivery.task import MOST_DEATHS, Task, short_digest
from delivery.unknowns import Unknowns

__all__ = ["Ledger"]

#: How long a record is kept that ended as unknown: longer than its dead letter, whose retry must read back first.
KEPT_UNKNOWN_SECONDS = 8 * 86400.0


class Ledger:
    """The ledger's scripts, typed. Every method waits while Redis is away."""

    def __init__(
        self,
        runner: ScriptRunner,
        keys: Keys,
        policy: Policy,
        *,
        form: Callable[[], int] = lambda: SMALL_FORM,
    ) -> None:
        self._runner = runner
        #: Returns the number of the form in which data is stored: one that all living workers can read.
        self.form = form
        #: The records that wait for a listing.
        self.unknowns = Unknowns(runner, keys, policy)
        self._keys = keys
        self._policy = policy
        #: The settings that both claim and settle need, in milliseconds.
        self._times = {
            "cover": _ms(policy.cover),
            "ttl": _ms(policy.ttl),
            "read_back_after": _ms(policy.read_back_after),
        }
        self._interval = policy.interval_us
        self._horizon = policy.horizon_ms

    def record(self, task: Task) -> str:
        """Return the key of the task's record."""
        return self._keys.record(task.job.actor, task.digest)

    async def claim(
        self, task: Task, token: str, *, waiting: Sequence[str] = (), may_list: bool = True
    ) -> Claim:
        """Ask whether this job may call the API now.

        ``waiting`` names the lanes that have jobs waiting in this process; ``may_list`` says whether it has room for another listing.
        """
        keys, receipt, job = self._keys, task.receipt, task.job
        arguments = self._times | {
            "id": receipt.id,
            "token": token,
            "fingerprint": task.fingerprint,
            "derived": job.key_is_derived,
            "asked": task.asked,
            "mark": task.mark,
            "effect": job.effect,
            "named": job.named,
            "since": task.since,
            "deadline": task.deadline,
            "life": self._life(task),
            "interval": self._interval,
            "horizon": self._horizon,
            "needle": job.needle() if job.effect else "",
            "may_list": may_list,
            "scope": job.scope,
            "call": job.actor,
            "about": task.about,
            "listing": task.listing,
            "place": task.place,
            "question": job.question is not None,
            "message": task.message_id,
            "batch": job.batch_id or "",
            "sent": receipt.sent,
            "secret": self._policy.secret,
            "worn": receipt.deaths >= MOST_DEATHS,
            **_lane(task.queue, waiting),
        }
        listing = task.listing
        answer = await self._runner.run(
            SCRIPTS["claim"],
            [
                self.record(task),
                keys.answered(task.message_id),
                keys.marks(task.marks),
                receipt.acks,
                receipt.bodies,
                receipt.delayed,
                keys.unknown(listing),
                keys.reader(listing),
                self._name_lock(task),
                keys.pages(job.actor, task.digest),
                keys.pace,
                keys.holds,
                keys.still,
                keys.held(job.scope),
                keys.parked,
                keys.alone,
                self._told(task),
                self._asking(task),
                keys.workers,
                keys.heartbeats,
                keys.events,
                keys.cancelled,
                self._counts(task),
            ],
            [orjson.dumps(arguments)],
        )
        return Claim.read(answer)

    async def settle(
        self,
        task: Task,
        token: str,
        settlement: Settlement,
        signal: Signal | None = None,
        *,
        deadline: int = 0,
    ) -> Settled:
        """Write what came of a claim, and what its call showed about the account; ``deadline`` is the one that the claim returned."""
        keys, policy, receipt, job = self._keys, self._policy, task.receipt, task.job
        # A job that was never claimed touches no record, and is not asked about its call: its arguments may not even be readable.
        owned = settlement.owned
        arguments: dict[str, Any] = self._times | {
            "id": receipt.id,
            "token": token,
            "fingerprint": task.fingerprint,
            "asked": task.asked,
            "mark": task.mark,
            "small": self.form() >= SMALL_FORM,
            "effect": owned and job.effect,
            "named": owned and job.named,
            "question": owned and job.question is not None,
            "needle": job.needle() if owned and job.effect else "",
            "life": self._life(task),
            "kept": _ms(max(policy.ttl, KEPT_UNKNOWN_SECONDS)),
            "deadline": deadline or task.deadline,
            "since": task.receipt.sent,
            "maxlen": policy.events_maxlen,
            "threshold": OUTAGE_THRESHOLD,
            **self._told_elsewhere(task, settlement),
            **settlement.arguments(),
        }
        if signal:
            arguments["signal"] = signal.arguments() | {"secret": policy.secret}
        word, changes = await self._runner.run(
            SCRIPTS["settle"],
            [
                self.record(task),
                keys.answered(task.message_id),
                keys.marks(task.marks),
                receipt.acks,
                receipt.bodies,
                receipt.delayed,
                receipt.dead,
                receipt.dead_bodies,
                receipt.dead_reasons,
                keys.events,
                keys.unknown(task.listing if owned else "none"),
                self._name_lock(task) if owned else keys.none,
                self._claimed(task, settlement) if owned else keys.none,
                keys.pages(job.actor, task.digest),
                keys.holds,
                keys.still,
                keys.held("account"),
                keys.held("sms"),
                keys.held("email"),
                keys.troubles,
                keys.alone,
                self._told(task) if owned else keys.none,
                self._asking(task) if owned else keys.none,
                keys.workers,
                keys.heartbeats,
                keys.staged(job.actor, task.digest),
            ],
            [orjson.dumps(arguments)],
        )
        return Settled(word in {b"ok", b"more"}, word == b"used", Changes.read(changes), word == b"more")

    async def park(self, hold: str, tasks: Sequence[Task]) -> bool:
        """Park messages of one queue and kind of job under ``hold``. Return False, with nothing moved, when the hold is over."""
        first = tasks[0]
        arguments: list[Any] = [hold, first.place, max(map(self._life, tasks))]
        for task in tasks:
            arguments += [task.receipt.id, task.since, self.record(task) if task.job.effect else ""]
        keys = [self._keys.holds, self._keys.parked, first.receipt.acks]
        return bool(await self._runner.run(SCRIPTS["park"], keys, arguments))

    async def renew(self, task: Task, token: str, baseline: list[str] | None = None) -> float:
        """Renew the lease and the lock of the listing's reader; note ``baseline``, what must not be taken for the job's effect.

        Return the lease in milliseconds, 0 if it was lost.
        """
        answer = await self._runner.run(
            SCRIPTS["renew"],
            [self.record(task), self._keys.reader(task.listing)],
            [token, self._times["cover"], "" if baseline is None else orjson.dumps(baseline)],
        )
        return float(answer)

    async def is_stopped(self, task: Task, token: str, *, deadline: int) -> bool:
        """Return whether a claimed job is cancelled, held or overdue by now, and must not begin its call."""
        job = task.job
        arguments = {
            "deadline": deadline,
            "token": token,
            "scope": job.scope,
            "call": job.actor,
            "about": task.about,
            "cover": self._times["cover"],
            "secret": self._policy.secret,
            "message": task.message_id,
            "batch": job.batch_id or "",
            "sent": task.receipt.sent,
        }
        keys = [self._keys.holds, self._keys.cancelled, self._counts(task)]
        return bool(await self._runner.run(SCRIPTS["stopped"], keys, [orjson.dumps(arguments)]))

    async def reserve(self, lane: str, waiting: Sequence[str] = ()) -> tuple[float, bool]:
        """Reserve a slot of the pace. Return the milliseconds to wait, and whether a slot is reserved; if not, ask again after that."""
        wait, again = await self._runner.run(
            SCRIPTS["reserve"],
            [self._keys.pace],
            [orjson.dumps(_lane(lane, waiting)), self._interval, self._horizon],
        )
        return float(wait), not again

    async def pages(self, task: Task) -> list[bytes]:
        """Return the remembered pages of a listing."""
        key = self._keys.pages(task.job.actor, task.digest)
        pages: list[bytes] = await self._runner.command("LRANGE", key, 0, -1)
        return pages

    async def body(self, task: Task) -> bytes:
        """Return the message as it was enqueued; empty when it is not there any more."""
        return await self._runner.command("HGET", task.receipt.bodies, task.receipt.id) or b""

    def _life(self, task: Task) -> int:
        # An unsettled record must outlive its message, however long a hold keeps that waiting.
        return _ms(self._policy.unsettled + task.patience)

    def _told_elsewhere(self, task: Task, settlement: Settlement) -> dict[str, Any]:
        """Return where else the answer is written: the caller's list, and the counts of the minute and of the batch."""
        job, keys = task.job, self._keys
        told: dict[str, Any] = {}
        if job.reply_to:
            told["reply"] = keys.reply(job.reply_to)
        if settlement.counted:
            told["tally"] = [keys.minutes, task.queue, settlement.counted]
        if job.batch_id and settlement.counted:
            digest = short_digest(job.batch_id)
            told["counts"] = {
                "key": keys.batch(digest),
                "all": keys.batches,
                "digest": digest,
                "id": job.batch_id,
                "lane": task.queue,
                "size": job.batch_size or 0,
                "as": settlement.counted,
            }
        return told

    def _counts(self, task: Task) -> str:
        batch_id = task.job.batch_id
        return batch_key(self._keys, batch_id) if batch_id else self._keys.none

    def _told(self, task: Task) -> str:
        question = task.job.question
        return self._keys.told(short_digest(question)) if question else self._keys.none

    def _asking(self, task: Task) -> str:
        question = task.job.question
        return self._keys.asking(short_digest(question)) if question else self._keys.none

    def _name_lock(self, task: Task) -> str:
        job = task.job
        return (
            self._keys.name_lock(job.scope, short_digest(job.taken_name())) if job.named else self._keys.none
        )

    def _claimed(self, task: Task, settlement: Settlement) -> str:
        claim = settlement.claim if isinstance(settlement, Done) else None
        return self._keys.claimed(task.job.scope, claim) if claim else self._keys.none


def _lane(queue: str, waiting: Sequence[str]) -> dict[str, Any]:
    return {"lane": queue, "weight": LANES[queue], "waiting": list(waiting)}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
