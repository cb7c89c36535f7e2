"""One effect, one answer: the straight line claim -> call -> settle, and every way that leaves it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import structlog

from actors.delivery.answers import (
    Failure,
    Progress,
    account_events,
    happened,
)
from actors.delivery.calling import Lease, LeaseLost, Slots, call_of, measured
from actors.delivery.gate import Aside, Draining, Gate, Ticket
from actors.delivery.journal import Journal
from actors.delivery.keeping import Keeper, OutOfTime
from actors.delivery.kind import Outcome
from actors.delivery.ledger import Ledger
from actors.delivery.meaning import meaning_of
from actors.delivery.policy import Policy
from actors.delivery.reading import Reader
from actors.delivery.replies import Claim
from actors.delivery.settling import HOLD_FIRST_SECONDS, Settling, progress_of
from actors.delivery.task import Task, now
from coupontools import Call, Coupontools, CoupontoolsError, MayHaveHappened, Rejected

__all__ = ["Delivery"]

log = structlog.get_logger("actors.delivery")

#: How soon a job that is past its deadline asks again while the account is held.
OVERDUE_SECONDS = 5.0
#: How soon a job that could not even be answered is tried again: soon enough once its cause is mended, seldom enough to be read.
POSTPONED_SECONDS = 60.0


class Delivery:
    """Carries out tasks. One instance per event loop."""

    def __init__(
        self, ledger: Ledger, api: Coupontools, gate: Gate, policy: Policy, journal: Journal
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._gate = gate
        self._policy = policy
        self._end = Settling(ledger, gate, policy, journal)
        self._slots = Slots(ledger, policy)
        self._keeper = Keeper(ledger, policy)
        self._reader = Reader(ledger, api, policy)

    async def deliver(self, task: Task) -> None:
        """Carries out one task until its message is settled or waits in Redis.

        When the worker stops first, the message stays outstanding.
        """
        place = self._gate.take_number()
        patience = max(0.0, _patience(task))
        while True:
            try:
                ticket = await self._gate.enter(task.kind.lane, task.job.scope, place, patience)
            except Draining:
                return
            except Aside as aside:
                await self.postpone(task, aside.seconds)
                return
            with self._gate.inside(ticket):
                done = await self._attempt(task, ticket)
            if done:
                task.receipt.release()
                return
            # Only a hold or the pace sends a job back here after its deadline.
            patience = max(OVERDUE_SECONDS, _patience(task))

    async def _attempt(self, task: Task, ticket: Ticket) -> bool:  # noqa: C901 - claim.lua's table of answers, a row each
        """One claim and what follows. True when the message is not outstanding any more."""
        token = uuid.uuid4().hex
        asked_at = now()
        claim = await self._ledger.claim(task, token)
        if claim.verb in {"held", "paced"}:
            self._gate.close(
                "account" if claim.verb == "paced" else task.job.scope,
                claim.wait / 1000,
                held=claim.verb == "held",
                alone=claim.channel_alone,
            )
            ticket.claimed()
            return False
        ticket.claimed()
        match claim.verb:
            case "gone" | "answered" | "deferred":
                log.debug("job.left", reason=claim.reason or claim.verb, message_id=task.message_id)
                return True
            case "replay":
                return await self._end.replay(task, token, claim)
            case "used":
                return (await self._end.reject_used_id(task)).ours
            case "conflict":
                text = task.kind.conflict if task.derived else ""
                failure = Failure(
                    "conflict", text or "this idempotency key was used before for a different job"
                )
                return await self._end.fail(task, token, failure, Progress(), owned=False)
            case "expired":
                failure = Failure(
                    "expired", "the deadline passed first; the API certainly did not carry it out"
                )
                return await self._end.fail(task, token, failure, progress_of(claim), owned=claim.owned)
            case "unknown":
                return await self._end.unknown(task, token, claim)
            case "found":
                outcome = task.kind.found(task.job, orjson.loads(claim.evidence))
                return await self._end.done(task, token, outcome, progress_of(claim), signal="")
            case "read_back":
                return await self._read_back(task, token, claim)
            case "call":
                if not claim.probe:
                    self._gate.open()
                return await self._call(task, token, claim, Lease(self._policy, asked_at, claim.lease))
            case _:
                raise ValueError(f"claim.lua answered {claim.verb!r}")

    # -- The call ---------------------------------------------------------------------------------------------------------

    async def _call(self, task: Task, token: str, claim: Claim, lease: Lease) -> bool:
        try:
            async with self._faults(task, token, lease):
                await self._slots.wait(claim.wait)
                if claim.wait and not claim.probe and self._gate.wary:
                    # A hold began while this job slept until its slot.
                    await self._end.settle(task, "wait", token, uncount=True, keep=True)
                    return False
                if task.kind.named and claim.baseline is None:
                    await self._note_baseline(task, token, lease)
                async with measured(task):
                    outcome = await self._ask(task, token, lease)
        except OutOfTime:
            settled = await self._end.settle(task, "wait", token, signal="none")
            self._end.journal.finished(
                task, "retrying", claim.attempts, retry_in=0, error="the deadline passed"
            )
            return settled.ours
        except LeaseLost:
            log.warning("lease.lost", message_id=task.message_id, job=task.job.actor)
            return (await self._end.settle(task, "wait", token, uncount=True, signal="none")).ours
        except Rejected as error:
            answer = task.kind.refused(task.job, error)
            if answer is not None:
                return await self._end.done(
                    task,
                    token,
                    answer,
                    progress_of(claim),
                    signal="fine" if self._end.wary(claim) else "well",
                )
            return await self._end.refused(task, token, claim, error)
        except CoupontoolsError as error:
            return await self._end.put_off(task, token, claim, error, departed=lease.departed)
        return await self._end.done(
            task, token, outcome, progress_of(claim), signal="fine" if self._end.wary(claim) else "well"
        )

    async def _ask(self, task: Task, token: str, lease: Lease) -> Outcome:
        if task.kind.effect:
            return await task.kind.call(task.job, self._api, call_of(task, lease.guard))
        async with self._keeper.kept(task, token, lease):
            return await task.kind.call(task.job, self._api, call_of(task, lease.guard))

    async def _note_baseline(self, task: Task, token: str, lease: Lease) -> None:
        async with self._keeper.kept(task, token, lease):
            async with measured(task):
                baseline = await task.kind.baseline(task.job, self._api, call_of(task))
            # The slot first: at a slow pace, waiting for it takes longer than a lease has to spare.
            await self._slots.take()
        asked_at = now()
        renewed = await self._ledger.note_baseline(task, token, baseline)
        if not renewed:
            raise LeaseLost
        lease.renew(asked_at, renewed)

    @asynccontextmanager
    async def _faults(self, task: Task, token: str, lease: Lease) -> AsyncIterator[None]:
        """A worker that is told to stop in the middle of a call says so in the ledger; a fault of ours ends the job as such."""
        try:
            yield
        except asyncio.CancelledError:
            op = "lost" if lease.departed and task.kind.effect else "wait"
            await asyncio.shield(self._end.settle(task, op, token, signal="none"))
            task.receipt.release()
            raise
        except (CoupontoolsError, LeaseLost, OutOfTime):
            raise
        except Exception as error:
            log.exception("job.fault", message_id=task.message_id, job=task.job.actor)
            if lease.departed and task.kind.effect:
                raise MayHaveHappened(
                    f"a fault of ours after bytes had left: {type(error).__name__}"
                ) from error
            raise Rejected(f"a fault of ours: {type(error).__name__}") from error

    # -- Reading back -----------------------------------------------------------------------------------------------------

    async def _read_back(self, task: Task, token: str, claim: Claim) -> bool:
        async def pace() -> Call:
            await self._slots.take()
            return call_of(task)

        try:
            async with self._keeper.kept(task, token), measured(task):
                told = await self._reader.read_back(task, token, pace)
        except (LeaseLost, OutOfTime) as error:
            await self._reader.give_up(task, token)
            await self._end.settle(task, "signal", token, signal="none")
            log.warning("read_back.given_up", message_id=task.message_id, reason=type(error).__name__)
            return False
        except CoupontoolsError as error:
            meaning = meaning_of(error, effect=False, shortest_pause=self._policy.backoff.shortest)
            await self._reader.give_up(task, token)
            await self._end.settle(task, "signal", token, **self._end.signal(meaning, error, claim, task))
            if meaning.verb == "held":
                self._gate.close(
                    meaning.scope, HOLD_FIRST_SECONDS, held=True, alone=meaning.scope != "account"
                )
            log.warning(
                "read_back.failed", message_id=task.message_id, error=str(error), error_code=error.code
            )
            return False
        signal = account_events("account", task.job.scope, None, "", 0) if self._end.wary(claim) else {}
        await self._end.settle(task, "signal", token, signal="fine" if signal else "well", **signal)
        self._end.journal.read_back(task, told)
        return False

    async def answer_at_once(self, task: Task, outcome: Outcome) -> None:
        """Settles a job for which the API need not be asked."""
        answer = happened(task, outcome, Progress())
        await self._end.settle(task, "replay", "", owned=False, events=answer["events"])
        self._end.journal.finished(task, "succeeded", 0)
        task.receipt.release()

    async def fail_at_once(self, task: Task, failure: Failure) -> None:
        """Answers a job that breaks the rules; its record is not looked at."""
        await self._end.fail(task, "", failure, Progress(), owned=False)
        task.receipt.release()

    async def postpone(self, task: Task, seconds: float = POSTPONED_SECONDS) -> None:
        """Puts off a job whatever its record: its channel is held, or it can be neither carried out nor answered now."""
        await self._end.settle(task, "later", "", owned=False, delay=round(seconds * 1000))
        task.receipt.release()


def _patience(task: Task) -> float:
    return task.deadline / 1000 - time.time()
